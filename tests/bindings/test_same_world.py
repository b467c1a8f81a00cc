"""Queues, cron entries, workflows, events and the manifest: one world behind both bindings."""

import json

from ojs_grpc_pb.v1 import events_pb2, queue_pb2, service_pb2, workflow_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions

from tests.bindings.pair import Pair
from tests.grpc.service import patience, value


async def test_the_manifest_is_the_same(pair: Pair) -> None:
    """Whole as JSON, and field by field."""
    over_http = await pair.send("GET", "/ojs/manifest")

    over_grpc = await pair.grpc.stub.Manifest(service_pb2.ManifestRequest())

    assert json.loads(over_grpc.manifest_json) == over_http
    assert over_http["implementation"]["name"] == over_grpc.implementation.name
    assert over_http["implementation"]["version"] == over_grpc.implementation.version
    assert over_http["implementation"]["language"] == over_grpc.implementation.language
    assert over_http["specversion"] == over_http["ojs_version"] == over_grpc.ojs_version
    assert over_http["conformance_level"] == over_grpc.conformance_level == 4
    assert over_http["protocols"] == list(over_grpc.protocols) == ["http", "grpc"]
    assert over_http["backend"] == over_grpc.backend
    assert over_http["extensions"] == list(over_grpc.extensions)
    assert over_http["schema_validation"] == over_grpc.schema_validation
    assert over_http["capabilities"] == dict(over_grpc.capabilities)
    assert over_http["unique_job_strength"] == over_grpc.unique_job_strength


async def test_queues_are_paused_and_counted_as_one(pair: Pair) -> None:
    """What one binding pauses gives nothing on the other, and the figures agree."""
    await pair.grpc.enqueue("a", queue="q")
    await pair.enqueue(type="b", args=[], queue="q")
    await pair.send("POST", "/ojs/v1/queues/q/pause")

    assert await pair.grpc.fetch(2, "q") == []
    await pair.grpc.stub.ResumeQueue(queue_pb2.ResumeQueueRequest(queue="q"))
    first = await pair.fetch("q")
    await pair.send("POST", "/ojs/v1/workers/ack", {"job_id": first["id"]})
    figures = (await pair.send("GET", "/ojs/v1/queues/q/stats"))["queue"]
    stats = (await pair.grpc.stub.QueueStats(queue_pb2.QueueStatsRequest(queue="q"))).stats
    assert (figures["available"], figures["active"], figures["completed"], figures["paused"]) == (1, 0, 1, False)
    assert (stats.available, stats.active, stats.completed, stats.paused) == (1, 0, 1, False)


async def test_cron_entries_are_the_same(pair: Pair) -> None:
    """Registered on either, they are listed on both, and their jobs say what the template said."""
    template = {"type": "a.b", "args": [2**60 + 1], "options": {"queue": "q", "priority": 4}, "x_tone": "warm"}
    document = {"name": "over-http", "expression": "*/5 * * * *", "job_template": template}
    registered = (await pair.send("POST", "/ojs/v1/cron", document))["cron"]
    await pair.grpc.stub.RegisterCron(
        service_pb2.RegisterCronRequest(
            name="over-grpc", cron="@hourly", type="c", args=[value(1.0)], options=EnqueueOptions(queue="r")
        )
    )

    listed = {entry["name"]: entry for entry in (await pair.send("GET", "/ojs/v1/cron"))["crons"]}
    entries = {entry.name: entry for entry in (await pair.grpc.stub.ListCron(service_pb2.ListCronRequest())).entries}
    assert listed.keys() == entries.keys() == {"over-http", "over-grpc"}
    assert listed["over-http"] == registered
    assert (entries["over-http"].type, entries["over-http"].options.priority) == ("a.b", 4)
    assert (listed["over-grpc"]["expression"], listed["over-grpc"]["args"]) == ("@hourly", [1])

    await pair.grpc.advance(5 * 60_000)
    made = await pair.fetch("q")
    assert (made["type"], made["args"], made["priority"], made["x_tone"]) == ("a.b", [2**60 + 1], 4, "warm")
    assert made["meta"]["cron_name"] == "over-http"


async def test_a_workflow_goes_on_whoever_reports(pair: Pair) -> None:
    """A chain created over HTTP, its first step fetched over gRPC; the second finds the result as it was said."""
    steps = [{"type": "a", "args": [2**60 + 1]}, {"type": "b", "args": []}]
    created = (await pair.send("POST", "/ojs/v1/workflows", {"type": "chain", "name": "w", "steps": steps}))["workflow"]
    first = await pair.grpc.fetch_one()
    report = {"job_id": first.id, "lease": first.lease, "result": {"n": 2**60 + 1}}
    await pair.send("POST", "/ojs/v1/workers/ack", report)
    await pair.grpc.run_duties()

    second = await pair.fetch()
    assert (second["type"], second["parent_results"], second["workflow_id"]) == ("b", [{"n": 2**60 + 1}], created["id"])
    assert (await pair.job(first.id))["args"] == [2**60 + 1]
    workflow = (await pair.grpc.stub.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id=created["id"]))).workflow
    assert (workflow.name, workflow.type, len(workflow.steps)) == ("w", "chain", 2)
    await pair.send("POST", "/ojs/v1/workers/ack", {"job_id": second["id"]})
    await pair.grpc.run_duties()
    ended = (await pair.send("GET", f"/ojs/v1/workflows/{created['id']}"))["workflow"]
    assert (ended["state"], ended["steps_completed"]) == ("completed", 2)


async def test_events_of_both_are_seen_on_both(pair: Pair) -> None:
    """By subscribers and by who asks, in the same order, under the same ids."""
    stream = pair.grpc.stub.StreamEvents(events_pb2.StreamEventsRequest(queues=["q"]))
    await stream.initial_metadata()
    await pair.grpc.enqueue("a", queue="q")
    await pair.enqueue(type="b", args=[], queue="q")
    await pair.fetch("q", worker_id="w")

    async with patience():
        heard = [await stream.read() for _ in range(3)]
    polled = (await pair.send("GET", "/ojs/v1/events?queues=q"))["events"]

    assert [event.type for event in heard] == ["job.enqueued", "job.enqueued", "job.started"]
    assert [(event["id"], event["type"]) for event in polled] == [(event.id, event.type) for event in heard]
    assert [event["data"]["job_type"] for event in polled] == [event.job_type for event in heard] == ["a", "b", "a"]
    assert [event["subject"] for event in polled] == [event.job_id for event in heard]
    stream.cancel()
