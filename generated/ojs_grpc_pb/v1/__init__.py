"""Stubs of the protobuf packages. Written by scripts/gen_protos.py; do not edit."""
