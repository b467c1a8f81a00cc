"""RegisterCron, UnregisterCron, ListCron."""

from ojs_grpc_pb.v1 import service_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.codec.template import verify_exact
from ojs_grpc.core.wire import bytes_field
from ojs_grpc.operations.engine import Engine

_ENTRIES_FIELD = service_pb2.ListCronResponse.ENTRIES_FIELD_NUMBER


class CronServicer:
    """RPCs on cron entries."""

    engine: Engine

    async def register_cron(
        self, request: service_pb2.RegisterCronRequest, _: Call
    ) -> service_pb2.RegisterCronResponse:
        verify_exact(request)
        entry, created = await self.engine.crons.register(request)
        return service_pb2.RegisterCronResponse(
            name=entry.name,
            next_run_at=entry.next_run_at if entry.HasField("next_run_at") else None,
            entry=entry,
            created=created,
        )

    async def unregister_cron(
        self, request: service_pb2.UnregisterCronRequest, _: Call
    ) -> service_pb2.UnregisterCronResponse:
        await self.engine.crons.unregister(request.name)
        return service_pb2.UnregisterCronResponse()

    async def list_cron(self, _: service_pb2.ListCronRequest, __: Call) -> bytes:
        return b"".join([bytes_field(_ENTRIES_FIELD, entry) for entry in await self.engine.crons.list()])
