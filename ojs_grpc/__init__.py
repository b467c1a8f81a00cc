"""A job service that speaks the Open Job Spec over gRPC."""

__version__ = "0.1.0"
