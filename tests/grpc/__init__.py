"""The gRPC binding, seen from outside: a server in this process, and a real channel to it."""
