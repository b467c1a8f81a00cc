"""The stub of the service for asyncio; the generated module has this class for type checkers only."""

from typing import TYPE_CHECKING

from ojs_grpc_pb.v1 import service_pb2_grpc

if TYPE_CHECKING:
    Stub = service_pb2_grpc.OJSServiceAsyncStub
else:
    Stub = service_pb2_grpc.OJSServiceStub
