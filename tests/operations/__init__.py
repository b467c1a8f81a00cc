"""What lies between bindings and stores."""
