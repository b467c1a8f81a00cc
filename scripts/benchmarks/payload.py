"""The requests that the load sends: small jobs, about 180 bytes each once stored."""

import json
from datetime import UTC, datetime

from google.protobuf.struct_pb2 import Value
from ojs_grpc_pb.v1 import events_pb2, job_pb2, queue_pb2, service_pb2, worker_pb2, workflow_pb2

JOB_TYPE = "bench.measure"
_SECOND_ARGUMENT = "customers/0000042/invoices/2025-11/0000917-first-reminder-in-german.pdf"

HTTP_ENQUEUE = "/ojs/v1/jobs"

_SERVICE = "/ojs.v1.OJSService/"
HEALTH = _SERVICE + "Health"
ENQUEUE = _SERVICE + "Enqueue"
ENQUEUE_BATCH = _SERVICE + "EnqueueBatch"
FETCH = _SERVICE + "Fetch"
ACK = _SERVICE + "Ack"
STREAM_JOBS = _SERVICE + "StreamJobs"
LIST_QUEUES = _SERVICE + "ListQueues"
REGISTER_CRON = _SERVICE + "RegisterCron"
CREATE_WORKFLOW = _SERVICE + "CreateWorkflow"
STREAM_EVENTS = _SERVICE + "StreamEvents"

NUMBER_PLACE = b"#0000000000#"
"""Stands in a request where each call puts another number of the same length."""


def arguments(first: float = 1042.0) -> list[Value]:
    """The two arguments of every job."""
    return [Value(number_value=first), Value(string_value=_SECOND_ARGUMENT)]


def enqueue(queue: str, first_argument: float = 1042.0) -> bytes:
    """An EnqueueRequest of one job."""
    options = job_pb2.EnqueueOptions(queue=queue)
    return job_pb2.EnqueueRequest(type=JOB_TYPE, args=arguments(first_argument), options=options).SerializeToString()


def enqueue_json(queue: str) -> bytes:
    """The same job as the body of POST /ojs/v1/jobs."""
    document = {"type": JOB_TYPE, "args": [1042, _SECOND_ARGUMENT], "options": {"queue": queue}}
    return json.dumps(document).encode()


def numbered(queue: str, *, unique: bool = False) -> bytes:
    """An EnqueueRequest with `NUMBER_PLACE` in it; unique by type and arguments if asked."""
    options = job_pb2.EnqueueOptions(queue=queue)
    if unique:
        options.unique.key.extend(["type", "args"])
    args = [Value(string_value=NUMBER_PLACE.decode()), Value(string_value=_SECOND_ARGUMENT)]
    return job_pb2.EnqueueRequest(type=JOB_TYPE, args=args, options=options).SerializeToString()


def group(queue: str, jobs: int) -> bytes:
    """A CreateWorkflowRequest of so many jobs side by side, and one that runs when all have ended."""
    options = job_pb2.EnqueueOptions(queue=queue)
    request = workflow_pb2.CreateWorkflowRequest(name="bench")
    for number in range(jobs):
        request.steps.add(id=f"job-{number}", type=JOB_TYPE, args=arguments(), options=options)
    callback = request.steps.add(id="on_complete", type=JOB_TYPE, args=arguments(), options=options)
    callback.depends_on.extend(f"job-{number}" for number in range(jobs))
    return request.SerializeToString()


def register_cron(number: int) -> bytes:
    """A RegisterCronRequest; the entry is not due for months, whenever the bench runs."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    request = service_pb2.RegisterCronRequest(
        name=f"bench-{number}", cron=f"{number % 60} {number // 60 % 24} 1 {month} *", type=JOB_TYPE, args=arguments()
    )
    return request.SerializeToString()


def stream_events(queue: str) -> bytes:
    """A StreamEventsRequest for one queue's enqueued jobs."""
    return events_pb2.StreamEventsRequest(queues=[queue], event_types=["job.enqueued"]).SerializeToString()


def enqueue_batch(queue: str, jobs: int, due: datetime | None = None) -> bytes:
    """An EnqueueBatchRequest of equal jobs, to be delivered from `due` on (default: at once)."""
    options = job_pb2.EnqueueOptions(queue=queue)
    if due is not None:
        options.delay_until.FromDatetime(due.astimezone(UTC))
    entry = job_pb2.BatchJobEntry(type=JOB_TYPE, args=arguments())
    return job_pb2.EnqueueBatchRequest(jobs=[entry] * jobs, default_options=options).SerializeToString()


def batch_count(reply: bytes) -> int:
    """How many jobs an EnqueueBatchResponse reports as stored."""
    return len(job_pb2.EnqueueBatchResponse.FromString(reply).jobs)


def fetch(queue: str, count: int) -> bytes:
    """A FetchRequest for up to `count` jobs."""
    return worker_pb2.FetchRequest(queues=[queue], count=count, worker_id="bench").SerializeToString()


def fetched_ids(reply: bytes) -> list[str]:
    """The job ids in a FetchResponse."""
    return [job.id for job in worker_pb2.FetchResponse.FromString(reply).jobs]


def ack(job_id: str) -> bytes:
    """An AckRequest without a result, as stock clients send it."""
    return worker_pb2.AckRequest(job_id=job_id).SerializeToString()


def stream_jobs(queue: str, worker: str, max_concurrent: int) -> bytes:
    """A StreamJobsRequest."""
    request = worker_pb2.StreamJobsRequest(queues=[queue], worker_id=worker, max_concurrent=max_concurrent)
    return request.SerializeToString()


def health() -> bytes:
    """A HealthRequest."""
    return service_pb2.HealthRequest().SerializeToString()


def is_healthy(reply: bytes) -> bool:
    """Whether a HealthResponse says OK."""
    return service_pb2.HealthResponse.FromString(reply).status == service_pb2.HEALTH_STATUS_OK


def list_queues(cursor: str = "") -> bytes:
    """A ListQueuesRequest for one page."""
    return queue_pb2.ListQueuesRequest(limit=100, cursor=cursor).SerializeToString()


def listed_queues(reply: bytes) -> tuple[dict[str, int], str]:
    """Available jobs by queue, and the cursor of the next page."""
    response = queue_pb2.ListQueuesResponse.FromString(reply)
    return {queue.name: queue.available_count for queue in response.queues}, response.next_cursor


def event_queue(message: bytes) -> str:
    """The queue that an event is about."""
    return events_pb2.Event.FromString(message).queue


def parse_job(message: bytes) -> job_pb2.Job:
    """A delivered job."""
    return job_pb2.Job.FromString(message)


def envelope_bytes(enqueue_reply: bytes) -> int:
    """Size of what is written once per job: the job of an EnqueueResponse without what changes later."""
    job = job_pb2.EnqueueResponse.FromString(enqueue_reply).job
    job.ClearField("state")
    job.ClearField("enqueued_at")
    return job.ByteSize()
