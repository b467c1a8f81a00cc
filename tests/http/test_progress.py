"""Progress and checkpoints over HTTP: what workers say of their jobs, and what anyone is told of it."""

from typing import Any
from unittest import mock

import pytest

from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.operations import checkpoints
from tests.http.service import UNKNOWN_ID, Web, error_of, eventually

SECOND = 1000


async def active(web: Web, **attributes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A job that a worker has."""
    await web.enqueue(**attributes)
    return await web.fetch_one()


async def report(web: Web, job: dict[str, Any], **members: Any) -> dict[str, Any]:  # noqa: ANN401
    """The worker says how far it is."""
    return dict(await web.put(f"/jobs/{job['id']}/progress", members))


async def progress(web: Web, job: dict[str, Any]) -> dict[str, Any]:
    """How far the job is."""
    return dict(await web.get(f"/jobs/{job['id']}/progress"))


# Progress


async def test_progress_is_what_was_reported(everywhere: Web) -> None:
    """Number, data and message come back, and the number in a header too."""
    job = await active(everywhere)
    data = {"rows": 14_000, "exact": 9_007_199_254_740_993, "name": "é", "nested": [{"a": None}]}

    told = await report(everywhere, job, progress=0.47, data=data, message="half way")

    answer = await everywhere.client.get(f"/ojs/v1/jobs/{job['id']}/progress")
    assert answer.json() == told
    assert told == {
        "job_id": job["id"],
        "state": "active",
        "progress": 0.47,
        "data": data,
        "message": "half way",
        "updated_at": "2025-06-15T15:06:40.000Z",
    }
    assert answer.headers["x-ojs-progress"] == "0.47"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["last-modified"] == "Sun, 15 Jun 2025 15:06:40 GMT"


async def test_nothing_reported_is_null(everywhere: Web) -> None:
    """A job without a report has progress all the same, namely none; one that is not there has not."""
    job = await everywhere.enqueue()

    told = await progress(everywhere, job)

    assert (told["state"], told["progress"], told["data"]) == ("available", None, None)
    assert told["updated_at"] == job["created_at"]
    await error_of(everywhere, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}/progress")
    await error_of(everywhere, 404, "not_found", "PUT", f"/jobs/{UNKNOWN_ID}/progress", {"progress": 0.5})


@pytest.mark.parametrize(("said", "kept"), [(1.3, 1.0), (-0.2, 0.0), (1, 1.0), (0, 0.0)])
async def test_what_is_beyond_counts_as_the_nearest(web: Web, said: float, kept: float) -> None:
    """A mistake in a worker's sum must not fail its report."""
    job = await active(web)

    assert (await report(web, job, progress=said))["progress"] == kept


async def test_progress_never_goes_back(everywhere: Web) -> None:
    """A report of less changes nothing but the checkpoint; one without a number keeps it."""
    job = await active(everywhere)
    await report(everywhere, job, progress=0.6, data={"step": 6})

    less = await report(everywhere, job, progress=0.4, data={"step": 4}, checkpoint={"at": 4})
    kept = await report(everywhere, job, data={"step": 7})

    assert (less["progress"], less["data"]) == (0.6, {"step": 6})
    assert (kept["progress"], kept["data"]) == (0.6, {"step": 7})
    checkpoint = await everywhere.get(f"/jobs/{job['id']}/checkpoint")
    assert checkpoint["checkpoint"]["state"] == {"at": 4}


async def test_a_new_attempt_begins_with_nothing(everywhere: Web) -> None:
    """The last attempt's progress stays until the next one begins; the checkpoint stays beyond."""
    job = await active(everywhere, retry={"max_attempts": 3, "initial_interval": "PT1S", "jitter": False})
    await report(everywhere, job, progress=0.7, checkpoint={"row": 7})
    await everywhere.nack(job)
    failed = await progress(everywhere, job)

    await everywhere.grpc.advance(2 * SECOND)
    again = await everywhere.fetch_one()
    fresh = await progress(everywhere, again)
    low = await report(everywhere, again, progress=0.1)

    assert (failed["state"], failed["progress"]) == ("retryable", 0.7)
    assert (fresh["state"], fresh["progress"]) == ("active", None)
    assert low["progress"] == 0.1
    checkpoint = await everywhere.get(f"/jobs/{job['id']}/checkpoint")
    assert checkpoint["checkpoint"]["state"] == {"row": 7}


async def test_a_completed_job_is_done(everywhere: Web) -> None:
    """All of it, if its worker ever said how far it was; else nothing is known."""
    spoken, silent = await active(everywhere), await active(everywhere)
    await report(everywhere, spoken, progress=0.87, data={"rows": 87})
    await everywhere.ack(spoken)
    await everywhere.ack(silent)

    done, unknown = await progress(everywhere, spoken), await progress(everywhere, silent)

    assert (done["state"], done["progress"], done["data"]) == ("completed", 1.0, {"rows": 87})
    assert (unknown["state"], unknown["progress"]) == ("completed", None)


async def test_a_report_about_a_job_that_is_not_active_changes_nothing(everywhere: Web) -> None:
    """It is no error either: it may have been on its way when the job ended."""
    job = await active(everywhere)
    await report(everywhere, job, progress=0.2)
    await everywhere.delete(f"/jobs/{job['id']}")

    told = await report(everywhere, job, progress=0.9)

    assert (told["state"], told["progress"]) == ("cancelled", 0.2)


async def test_a_report_of_who_lost_the_job_changes_nothing(web: Web) -> None:
    """If it says which claim it speaks of, or who it is."""
    job = await active(web)

    foreign = await report(web, job, progress=0.9, worker_id="worker-2")
    stale = await report(web, job, progress=0.9, lease=int(job.get("lease", 1)) + 1)
    own = await report(web, job, progress=0.3, worker_id="worker-1")

    assert (foreign["progress"], stale["progress"], own["progress"]) == (None, None, 0.3)


async def test_a_report_is_a_heartbeat(everywhere: Web) -> None:
    """The lease begins anew with each."""
    job = await active(everywhere, options={"visibility_timeout_ms": 10_000})
    for _ in range(3):
        await everywhere.grpc.advance(8 * SECOND)
        await report(everywhere, job, progress=0.1)

    await everywhere.grpc.advance(8 * SECOND)
    held = await everywhere.job(job["id"])
    await everywhere.grpc.advance(3 * SECOND)
    lost = await everywhere.job(job["id"])

    assert (held["state"], lost["state"]) == ("active", "available")


async def test_nothing_is_not_less_than_nothing(web: Web) -> None:
    """Zero has no sign."""
    job = await active(web)

    assert str((await report(web, job, progress=-0.0))["progress"]).startswith("0")


async def test_sdks_report_percentages(everywhere: Web) -> None:
    """From 0 to 100, with the job in the body."""
    job = await active(everywhere)
    document = {"job_id": job["id"], "percentage": 42, "message": "on it", "data": {"a": 1}}

    told = await everywhere.post("/workers/progress", document)

    assert (told["progress"], told["message"], told["data"]) == (0.42, "on it", {"a": 1})
    await error_of(everywhere, 400, "invalid_request", "POST", "/workers/progress", {"percentage": 42})


async def test_an_event_a_second_at_most_tells_of_it(everywhere: Web) -> None:
    """With the number in percent, and whose report it is."""
    job = await active(everywhere)
    for fraction in (0.1, 0.2, 0.3):
        await report(everywhere, job, progress=fraction, message="so far")
    await everywhere.grpc.advance(SECOND)
    await report(everywhere, job, progress=0.4)

    events = (await everywhere.get("/events", types="job.progress"))["events"]

    assert [event["data"]["progress_percent"] for event in events] == [10, 40]
    assert events[0]["subject"] == job["id"]
    assert events[0]["data"] == {
        "job_id": job["id"],
        "job_type": "test.job",
        "queue": "default",
        "state": "active",
        "worker_id": "worker-1",
        "attempt": 1,
        "progress_percent": 10,
        "progress_message": "so far",
    }


@pytest.mark.parametrize(
    ("document", "code", "status"),
    [
        ({}, "invalid_request", 400),
        ({"progress": None}, "invalid_request", 400),
        ({"progress": "0.5"}, "invalid_request", 400),
        ({"progress": True}, "invalid_request", 400),
        ({"data": [1]}, "invalid_request", 400),
        ({"progress": 0.5, "checkpoint": 1}, "invalid_request", 400),
        ({"progress": 0.5, "message": "x" * 1001}, "invalid_request", 400),
        ({"data": {"x": "y" * 65_536}}, "payload_too_large", 413),
        ({"data": {"x": eval("[" * 31 + "]" * 31)}}, "payload_too_large", 413),  # noqa: S307
        ({"data": {}, "checkpoint": {"x": "y" * (1 << 20)}}, "payload_too_large", 413),
    ],
)
async def test_reports_that_break_rules_are_refused(web: Web, document: Any, code: str, status: int) -> None:  # noqa: ANN401
    """Nothing of them is kept."""
    job = await active(web)

    await error_of(web, status, code, "PUT", f"/jobs/{job['id']}/progress", document)

    assert (await progress(web, job))["progress"] is None


async def test_progress_is_forgotten_after_its_job(everywhere: Web) -> None:
    """Not before, however long the job is kept."""
    job = await active(everywhere)
    await report(everywhere, job, progress=0.5, checkpoint={"a": 1})
    await everywhere.ack(job)
    store = everywhere.grpc.store

    await everywhere.grpc.advance(2 * 86_400 * SECOND)
    kept = [await store.documents(kind, [job["id"]]) for kind in ("progress", "checkpoint")]
    await everywhere.grpc.advance(8 * 86_400 * SECOND)
    await everywhere.grpc.run_duties()
    gone = await store.documents("progress", [job["id"]])

    assert [document is None for (document,) in kept] == [False, True]
    assert gone == [None]


# Checkpoints


async def test_a_checkpoint_comes_back(everywhere: Web) -> None:
    """The latest one, with a number that grows, whatever value it is."""
    job = await active(everywhere)
    path = f"/jobs/{job['id']}/checkpoint"
    await everywhere.put(path, {"state": {"row": 1}})

    saved = await everywhere.post(path, {"state": None})
    loaded = await everywhere.get(path)

    assert saved == loaded
    assert loaded["checkpoint"] == {
        "job_id": job["id"],
        "state": None,
        "sequence": 2,
        "created_at": "2025-06-15T15:06:40.000Z",
    }


async def test_a_sequence_grows(web: Web) -> None:
    """Whoever counts by itself is refused when it goes back."""
    job = await active(web)
    path = f"/jobs/{job['id']}/checkpoint"
    await web.put(path, {"state": 1, "sequence": 7})

    error = await error_of(web, 400, "invalid_request", "PUT", path, {"state": 2, "sequence": 7})

    assert error["details"]["field"] == "sequence"
    assert (await web.put(path, {"state": 3}))["checkpoint"]["sequence"] == 8


async def test_a_checkpoint_is_cleared(everywhere: Web) -> None:
    """Also if there is none."""
    job = await active(everywhere)
    path = f"/jobs/{job['id']}/checkpoint"
    await everywhere.put(path, {"state": 1})

    for _ in range(2):
        assert await everywhere.delete(path) == {"deleted": True, "job_id": job["id"]}
        await error_of(everywhere, 404, "not_found", "GET", path)


async def test_only_an_active_job_saves(everywhere: Web) -> None:
    """And one that is completed has no checkpoint any more."""
    job = await active(everywhere)
    path = f"/jobs/{job['id']}/checkpoint"
    await everywhere.put(path, {"state": 1})
    await everywhere.ack(job)

    await error_of(everywhere, 409, "conflict", "PUT", path, {"state": 2})
    await error_of(everywhere, 404, "not_found", "GET", path)
    await error_of(everywhere, 404, "not_found", "PUT", f"/jobs/{UNKNOWN_ID}/checkpoint", {"state": 2})


@pytest.mark.parametrize(
    ("document", "code", "status"),
    [
        ({}, "invalid_request", 400),
        ({"state": 1, "sequence": -1}, "invalid_request", 400),
        ({"state": "x" * (1 << 20)}, "payload_too_large", 413),
    ],
)
async def test_checkpoints_that_break_rules_are_refused(web: Web, document: Any, code: str, status: int) -> None:  # noqa: ANN401
    """With the rule."""
    job = await active(web)

    await error_of(web, status, code, "PUT", f"/jobs/{job['id']}/checkpoint", document)


async def test_a_job_that_is_run_again_has_its_checkpoint(everywhere: Web) -> None:
    """By both names that the spec has for it; others have none."""
    job = await active(everywhere, retry={"max_attempts": 2, "initial_interval": "PT1S", "jitter": False})
    await everywhere.put(f"/jobs/{job['id']}/checkpoint", {"state": {"row": 7}})
    await everywhere.nack(job)
    await everywhere.grpc.advance(2 * SECOND)
    await everywhere.enqueue()
    jobs = await everywhere.fetch(2)

    (again,) = [fetched for fetched in jobs if fetched["id"] == job["id"]]
    (first,) = [fetched for fetched in jobs if fetched["id"] != job["id"]]
    assert (again["checkpoint"], again["last_checkpoint"]) == ({"state": {"row": 7}, "sequence": 1}, {"row": 7})
    assert not {"checkpoint", "last_checkpoint"} & {*first}


async def test_large_checkpoints_do_not_make_an_answer_huge(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first few come with their jobs; for the others a worker can ask."""
    monkeypatch.setattr(checkpoints, "_SLICE", 1)
    monkeypatch.setattr(checkpoints, "_MOST_TOGETHER", 1000)
    for _ in range(3):
        job = await active(web, retry={"max_attempts": 2, "initial_interval": "PT1S", "jitter": False})
        await web.put(f"/jobs/{job['id']}/checkpoint", {"state": "x" * 600})
        await web.nack(job)
    await web.grpc.advance(2 * SECOND)

    assert ["checkpoint" in job for job in await web.fetch(3)] == [True, True, False]


async def test_jobs_whose_checkpoints_cannot_be_read_go_back(web: Web) -> None:
    """Nobody got them, and that costs no attempt."""
    job = await active(web, retry={"max_attempts": 2, "initial_interval": "PT1S", "jitter": False})
    await web.nack(job)
    await web.grpc.advance(2 * SECOND)
    with mock.patch.object(web.grpc.store, "documents", side_effect=StoreUnavailable("it is away")):
        await error_of(web, 503, "backend_unavailable", "POST", "/workers/fetch", {"queues": ["default"]})

    async def is_back() -> bool:
        return (await web.job(job["id"]))["state"] == "available"

    await eventually(is_back)
    assert (await web.fetch_one())["attempt"] == 2


@pytest.mark.parametrize("base", ["/checkpoints", "/ojs/v1/checkpoints"])
async def test_sdks_replay_from_checkpoints(everywhere: Web, base: str) -> None:
    """They save a log to replay, ask for it by another path, and clear it when they are done."""
    job = await active(everywhere)
    path = f"{base}/{job['id']}"
    none = await everywhere.get(f"{path}/resume")
    metadata = {"_replay_log": '[{"seq":0,"type":"time","result":1}]', "attempt": "1"}
    await everywhere.post(path, {"state": {"a": 1}, "step_index": 3, "metadata": metadata})

    found = await everywhere.get(f"{path}/resume")
    await everywhere.put(f"/jobs/{job['id']}/checkpoint", {"state": "not replayed"})
    other = await everywhere.get(f"{path}/resume")
    cleared = await everywhere.delete(path)

    assert none == other == {"has_checkpoint": False}
    assert found["has_checkpoint"] is True
    checkpoint = found["checkpoint"]
    assert (checkpoint["state"], checkpoint["step_index"], checkpoint["metadata"]) == ({"a": 1}, 3, metadata)
    assert cleared["deleted"] is True
