"""Background duties: what each does in one turn, and the runner that keeps them going."""
