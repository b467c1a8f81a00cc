"""Progress and checkpoints."""

from collections.abc import Iterator

from ojs_grpc.bindings.http.description.operation import Noun, Operation
from ojs_grpc.bindings.http.description.schemas import (
    ANYTHING,
    STATE,
    TIME,
    Schema,
    answered,
    any_object,
    asked,
    constant,
    nullable,
    number,
    ref,
    text,
    whole,
)
from ojs_grpc.bindings.http.description.workers import HOLDER

_PATH = "/ojs/v1/jobs/{id}/checkpoint"
# What the SDKs call, by the name that it has here; older ones say the beginning of the path twice.
_SDK_PATHS = {"": "/ojs/v1/checkpoints/{id}", "Older": "/ojs/v1/ojs/v1/checkpoints/{id}"}

_REPORT: dict[str, Schema] = {
    "progress": number(None, description="What is done, from 0 to 1."),
    "percentage": number(None, description="The same, from 0 to 100."),
    "message": text("For people."),
    "data": any_object("For programs."),
    "checkpoint": any_object("Where the job could go on."),
    **HOLDER,
}
_ANSWER = {200: ref("Progress")}
_HEADERS: dict[str, Schema] = {"Cache-Control": text(), "Last-Modified": text()}

_SAVE = asked(
    {"state": ANYTHING},
    {
        "sequence": whole(0, (1 << 63) - 1, "Greater than the one before; one more if it is left out."),
        **HOLDER,
    },
    "`step_index` and `metadata` are kept too.",
)
_SAVED = {200: answered({"checkpoint": ref("Checkpoint")})}
_CLEARED = {200: answered({"deleted": constant(value=True), "job_id": text()})}


def _for_sdks() -> Iterator[Operation]:
    for age, path in _SDK_PATHS.items():
        for verb, method in (("put", "PUT"), ("post", "POST")):
            yield Operation(
                f"{verb}Sdk{age}Checkpoint", method, path, "Save a checkpoint", _SAVED, body=_SAVE, refusals=[404, 409]
            )
        yield Operation(
            f"resumeFromSdk{age}Checkpoint",
            "GET",
            f"{path}/resume",
            "Get a checkpoint, if it has a log to replay",
            {200: answered({"has_checkpoint": {"type": "boolean"}}, {"checkpoint": ref("Checkpoint")})},
        )
        yield Operation(f"deleteSdk{age}Checkpoint", "DELETE", path, "Forget a checkpoint", _CLEARED)


NOUN = Noun(
    "progress",
    "How far a job is, and where it can go on.",
    [
        Operation(
            "reportProgress",
            "PUT",
            "/ojs/v1/jobs/{id}/progress",
            "Say how far a job is",
            _ANSWER,
            body=asked({}, _REPORT),
            refusals=[404, 409],
            headers=_HEADERS,
        ),
        Operation(
            "getProgress",
            "GET",
            "/ojs/v1/jobs/{id}/progress",
            "See how far a job is",
            _ANSWER,
            refusals=[404],
            headers=_HEADERS,
        ),
        Operation(
            "streamProgress",
            "GET",
            "/ojs/v1/jobs/{id}/progress/stream",
            "Stream how far a job is until it ends",
            {200: text()},
            refusals=[404],
            text="text/event-stream",
        ),
        Operation(
            "reportPercentage",
            "POST",
            "/ojs/v1/workers/progress",
            "Say how far a job is",
            _ANSWER,
            body=asked({"job_id": text(minLength=1)}, _REPORT),
            refusals=[404, 409],
            headers=_HEADERS,
        ),
        Operation("saveCheckpoint", "POST", _PATH, "Save a checkpoint", _SAVED, body=_SAVE, refusals=[404, 409]),
        Operation("putCheckpoint", "PUT", _PATH, "Save a checkpoint", _SAVED, body=_SAVE, refusals=[404, 409]),
        Operation("getCheckpoint", "GET", _PATH, "Get a checkpoint", _SAVED, refusals=[404]),
        Operation("deleteCheckpoint", "DELETE", _PATH, "Forget a checkpoint", _CLEARED),
        *_for_sdks(),
    ],
    {
        "Progress": answered(
            {
                "job_id": text(),
                "state": STATE,
                "progress": nullable(number(0, 1)),
                "data": nullable(any_object()),
                "updated_at": TIME,
            },
            {"message": text()},
        ),
        "Checkpoint": answered({"job_id": text(), "state": ANYTHING, "sequence": whole(), "created_at": TIME}),
    },
)
