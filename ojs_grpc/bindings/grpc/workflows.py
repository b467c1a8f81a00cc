"""CreateWorkflow, GetWorkflow, CancelWorkflow."""

from ojs_grpc_pb.v1 import workflow_pb2

from ojs_grpc.bindings.grpc.call import Call
from ojs_grpc.codec.template import verify_entry
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.pauses import Pauses


class WorkflowsServicer:
    """RPCs on workflows."""

    engine: Engine

    async def create_workflow(
        self, request: workflow_pb2.CreateWorkflowRequest, call: Call
    ) -> workflow_pb2.CreateWorkflowResponse:
        pauses = Pauses()
        for index, step in enumerate(request.steps):
            if step.exact:
                verify_entry(step, index, "steps")
                await pauses.after(step.ByteSize())
        workflow = await self.engine.workflows.create(request, call.enqueue_context.trace)
        return workflow_pb2.CreateWorkflowResponse(workflow=workflow)

    async def get_workflow(
        self, request: workflow_pb2.GetWorkflowRequest, _: Call
    ) -> workflow_pb2.GetWorkflowResponse:
        return workflow_pb2.GetWorkflowResponse(workflow=await self.engine.workflows.get(request.workflow_id))

    async def cancel_workflow(
        self, request: workflow_pb2.CancelWorkflowRequest, _: Call
    ) -> workflow_pb2.CancelWorkflowResponse:
        workflow = await self.engine.workflows.cancel(request.workflow_id, request.reason)
        return workflow_pb2.CancelWorkflowResponse(workflow=workflow)
