"""What operators see and do over HTTP (behaviour section 20)."""

from typing import Any

import pytest

from tests.http.service import UNKNOWN_ID, Web, error_of

COUNTS = {"available", "active", "scheduled", "retryable", "pending", "completed", "discarded", "cancelled"}
ONCE = {"max_attempts": 1}


async def discard(web: Web, queue: str = "default", **attributes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Makes a discarded job that is no dead letter."""
    await web.enqueue(options={"queue": queue, "retry": ONCE}, **attributes)
    job = await web.fetch_one(queue)
    await web.nack(job)
    return await web.job(job["id"])


async def fill(web: Web) -> None:
    """Jobs in every state, in two queues."""
    for _ in range(2):
        await web.ack(await _taken(web))
    await web.nack(await _taken(web))
    cancelled = await web.enqueue()
    await web.delete(f"/jobs/{cancelled['id']}")
    await discard(web)
    await web.bury("other")
    await _taken(web)
    await web.enqueue()
    await web.enqueue(options={"queue": "other", "delay_until": "2030-01-01T00:00:00Z"})


async def _taken(web: Web) -> dict[str, Any]:
    await web.enqueue()
    return await web.fetch_one()


# Queues


async def test_queues(everywhere: Web) -> None:
    """Every queue has its counts, by all states, and pages as the admin UI reads them."""
    await fill(everywhere)

    answer = await everywhere.get("/admin/queues")

    default, other = answer["items"]
    assert [default["name"], other["name"]] == ["default", "other"]
    assert default["counts"] == {
        "available": 1, "active": 1, "scheduled": 0, "retryable": 1, "pending": 0, "completed": 2, "discarded": 1,
        "cancelled": 1,
    }  # fmt: skip
    assert (other["counts"]["scheduled"], other["counts"]["discarded"]) == (1, 1)
    assert default.keys() >= {"state", "paused", "throughput", "created_at"}
    assert default["throughput"]["processed_per_minute"] == 2
    assert default["throughput"]["failed_per_minute"] == 2
    assert answer["total"] == 2
    assert answer["pagination"] == {
        "total": 2, "page": 1, "per_page": 20, "limit": 20, "offset": 0, "has_more": False
    }  # fmt: skip


async def test_a_queue(web: Web) -> None:
    """It comes unwrapped; one that does not exist is not found."""
    await web.enqueue(options={"queue": "a.b"})

    answer = await web.get("/admin/queues/a.b")

    assert (answer["name"], answer["state"], answer["counts"]["available"]) == ("a.b", "active", 1)
    await error_of(web, 404, "not_found", "GET", "/admin/queues/none")
    await error_of(web, 400, "invalid_request", "GET", "/admin/queues/No%20name")


async def test_pause_and_resume(everywhere: Web) -> None:
    """Without a body; the queue says what it is."""
    await everywhere.enqueue()

    paused = await everywhere.post("/admin/queues/default/pause")
    shown = await everywhere.get("/admin/queues/default")
    given = await everywhere.fetch()
    resumed = await everywhere.post("/admin/queues/default/resume")

    assert (paused["name"], paused["paused"]) == ("default", True)
    assert (shown["state"], shown["paused"]) == ("paused", True)
    assert given == []
    assert resumed["paused"] is False
    assert len(await everywhere.fetch()) == 1


async def test_pages_of_queues(web: Web) -> None:
    """By page and size, of which there is a default and a most."""
    for number in range(25):
        await web.enqueue(options={"queue": f"q-{number:02}"})

    first = await web.get("/admin/queues")
    last = await web.get("/admin/queues", page=2)
    many = await web.get("/admin/queues", per_page=1000)
    beyond = await web.get("/admin/queues", page=9, per_page=10)

    assert [len(page["items"]) for page in (first, last, many, beyond)] == [20, 5, 25, 0]
    assert [page["pagination"]["has_more"] for page in (first, last, many, beyond)] == [True, False, False, False]
    assert many["pagination"]["per_page"] == 100
    assert last["items"][0]["name"] == "q-20"
    await error_of(web, 400, "invalid_request", "GET", "/admin/queues", page=0)


# Jobs


async def test_jobs(everywhere: Web) -> None:
    """Jobs of every state, in short, with filters and pages."""
    await fill(everywhere)

    everything = await everywhere.get("/admin/jobs")
    done = await everywhere.get("/admin/jobs", state="completed", queue="default")
    pages = [(await everywhere.get("/admin/jobs", page=page, per_page=4))["items"] for page in (1, 2, 3, 4)]

    ids = [item["id"] for item in everything["items"]]
    assert len(ids) == len(set(ids)) == everything["total"] == everything["pagination"]["total"] == 9
    assert [item["state"] for item in everything["items"]][:2] == ["active", "available"]
    assert {item["state"] for item in done["items"]} == {"completed"}
    assert (len(done["items"]), done["total"]) == (2, 2)
    assert [item["id"] for page in pages for item in page] == ids
    assert [len(page) for page in pages] == [4, 4, 1, 0]
    for item in everything["items"]:
        assert item.keys() >= {"id", "type", "queue", "state", "priority", "attempt", "created_at"}
        assert not item.keys() & {"args", "result"}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"type": "mail.send"}, {"mail.send"}),
        ({"type": "mail.*"}, {"mail.send", "mail.sort"}),
        ({"type": "*"}, {"mail.send", "mail.sort", "other"}),
        ({"type": "mail"}, set()),
        ({"queue": "a"}, {"mail.send"}),
        ({"queue": "none"}, set()),
        ({"state": "active"}, set()),
        ({"since": "2025-01-01T00:00:00Z"}, {"mail.send", "mail.sort", "other"}),
        ({"until": "2025-01-01T00:00:00Z"}, set()),
    ],
)
async def test_filters(web: Web, query: dict[str, str], wanted: set[str]) -> None:
    """By queue, state, type or the beginning of types, and time of creation; and all of them are counted."""
    await web.enqueue("mail.send", options={"queue": "a"})
    await web.enqueue("mail.sort")
    await web.enqueue("other")

    answer = await web.get("/admin/jobs", **query)

    assert {item["type"] for item in answer["items"]} == wanted
    assert answer["total"] == len(wanted)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "none"},
        {"queue": "No name"},
        {"since": "yesterday"},
        {"page": "x"},
        {"page": 10_000},
        {"per_page": -1},
    ],
)
async def test_bad_queries(web: Web, query: dict[str, Any]) -> None:
    """What means nothing is refused."""
    await error_of(web, 400, "invalid_request", "GET", "/admin/jobs", **query)


async def test_scheduled_jobs_by_time(web: Web) -> None:
    """As the page of scheduled jobs wants them."""
    for day in (3, 1, 2):
        await web.enqueue(options={"delay_until": f"2030-01-0{day}T00:00:00Z"})

    answer = await web.get("/admin/jobs", state="scheduled", per_page=50, sort="scheduled_at", order="asc")

    assert [item["scheduled_at"][:10] for item in answer["items"]] == ["2030-01-01", "2030-01-02", "2030-01-03"]


async def test_a_job(everywhere: Web) -> None:
    """It comes unwrapped and whole; lists and objects are always there."""
    job = await everywhere.enqueue(args=[1, {"a": None}])
    fresh = await everywhere.get(f"/admin/jobs/{job['id']}")
    held = await everywhere.fetch_one()
    await everywhere.nack(held, error={"code": "boom", "message": "it broke", "backtrace": "one\ntwo"})
    failed = await everywhere.get(f"/admin/jobs/{job['id']}")

    assert (fresh["id"], fresh["state"], fresh["args"]) == (job["id"], "available", [1, {"a": None}])
    assert (fresh["meta"], fresh["errors"]) == ({}, [])
    assert fresh["metadata"]["created_at"] == fresh["created_at"]
    assert failed["metadata"]["started_at"] == failed["started_at"]
    (error,) = failed["errors"]
    assert (error["code"], error["message"], error["backtrace"]) == ("boom", "it broke", ["one", "two"])
    await error_of(everywhere, 404, "not_found", "GET", f"/admin/jobs/{UNKNOWN_ID}")


async def test_retry(everywhere: Web) -> None:
    """A discarded job starts over, a dead letter or not; any other job is refused."""
    plain, dead = await discard(everywhere), await everywhere.bury()

    for job in (plain, dead):
        answer = await everywhere.post(f"/admin/jobs/{job['id']}/retry")
        assert (answer["id"], answer["state"], answer["attempt"]) == (job["id"], "available", 0)
        assert len(answer["errors"]) == 1
        await error_of(everywhere, 409, "conflict", "POST", f"/admin/jobs/{job['id']}/retry")
    assert len(await everywhere.fetch(5)) == 2
    assert (await everywhere.get("/admin/dead-letter"))["total"] == 0
    await error_of(everywhere, 404, "not_found", "POST", f"/admin/jobs/{UNKNOWN_ID}/retry")


async def test_a_cancelled_job_stays_so(web: Web) -> None:
    """Cancelled is the end."""
    job = await web.enqueue()
    answer = await web.post(f"/admin/jobs/{job['id']}/cancel", {"reason": "wrong"})

    assert (answer["id"], answer["state"]) == (job["id"], "cancelled")
    assert answer["metadata"]["cancelled_at"] == answer["cancelled_at"]
    await error_of(web, 409, "conflict", "POST", f"/admin/jobs/{job['id']}/cancel")
    await error_of(web, 409, "conflict", "POST", f"/admin/jobs/{job['id']}/retry")


async def test_the_list_of_jobs_for_everybody(web: Web) -> None:
    """As the command line reads it."""
    for _ in range(3):
        await web.enqueue()

    answer = await web.get("/jobs", limit=2, state="available")

    assert len(answer["jobs"]) == 2
    assert answer["total"] == answer["pagination"]["total"] == 3
    assert answer["pagination"]["has_more"] is True


# Bulk changes


@pytest.mark.parametrize("path", ["/admin/jobs/bulk/retry", "/admin/jobs/bulk/cancel", "/admin/dead-letter/retry"])
@pytest.mark.parametrize("document", [None, {}, {"filter": {}}, {"confirm": False}, {"confirm": "true"}])
async def test_bulk_changes_are_confirmed(web: Web, path: str, document: Any) -> None:  # noqa: ANN401
    """Without that nothing happens."""
    dead = await web.bury()

    await error_of(web, 400, "invalid_request", "POST", path, document)

    assert await web.job(dead["id"]) == dead


async def test_bulk_retry(everywhere: Web) -> None:
    """All discarded jobs of a filter."""
    first, second = await discard(everywhere, "a"), await everywhere.bury("a")
    third = await discard(everywhere, "b")
    await everywhere.enqueue(options={"queue": "a"})

    answer = await everywhere.post("/admin/jobs/bulk/retry", {"filter": {"queue": "a"}, "confirm": True})
    nothing = await everywhere.post("/admin/jobs/bulk/retry", {"filter": {"state": "completed"}, "confirm": True})

    assert answer == {
        "action": "retry", "matched": 2, "succeeded": 2, "failed": 0, "has_more": False, "retried": 2, "errors": []
    }  # fmt: skip
    assert nothing["matched"] == 0
    assert [(await everywhere.job(job["id"]))["state"] for job in (first, second, third)] == [
        "available", "available", "discarded"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        {"filter": {"state": "wrong"}},
        {"filter": {"queue": "No name"}},
        {"filter": {"since": "x"}},
        {"filter": [1]},
        {"filter": {"queue": 5}},
    ],
)
async def test_bad_filters(web: Web, said: dict[str, Any]) -> None:
    """What means nothing is refused, and nothing is changed."""
    dead = await web.bury()

    await error_of(web, 400, "invalid_request", "POST", "/admin/jobs/bulk/retry", {**said, "confirm": True})

    assert await web.job(dead["id"]) == dead


async def test_bulk_retry_of_a_flat_filter(web: Web) -> None:
    """Members beside `confirm` are a filter too, as the OpenAPI document has it."""
    kept, chosen = await discard(web, type="a"), await discard(web, type="b")

    answer = await web.post("/admin/jobs/bulk/retry", {"type": "b", "state": "discarded", "confirm": True})

    assert answer["succeeded"] == 1
    assert (await web.job(chosen["id"]))["state"] == "available"
    assert (await web.job(kept["id"]))["state"] == "discarded"


async def test_bulk_cancel(everywhere: Web) -> None:
    """All jobs of a filter that are not finished."""
    await fill(everywhere)

    answer = await everywhere.post("/admin/jobs/bulk/cancel", {"confirm": True})

    assert (answer["matched"], answer["succeeded"], answer["cancelled"]) == (4, 4, 4)
    assert (await everywhere.get("/admin/jobs", state="cancelled"))["total"] == 5
    assert (await everywhere.get("/admin/jobs", state="completed"))["total"] == 2


async def test_bulk_by_ids(web: Web) -> None:
    """As the command line sends it, without a confirmation; what fails is told."""
    dead, living = await web.bury(), await web.enqueue()

    retried = await web.post("/jobs/bulk/retry", {"job_ids": [dead["id"], UNKNOWN_ID]})
    cancelled = await web.post("/jobs/bulk/cancel", {"job_ids": [living["id"]]})
    rest = await web.post("/jobs/bulk/cancel", {"filter": {"state": "available"}})

    assert (retried["retried"], retried["failed"], retried["errors"][0]["job_id"]) == (1, 1, UNKNOWN_ID)
    assert (cancelled["cancelled"], rest["cancelled"]) == (1, 1)
    await error_of(web, 400, "invalid_request", "POST", "/jobs/bulk/cancel", {})


# Stats and workers


async def test_stats(everywhere: Web) -> None:
    """Everything together, or one queue."""
    await fill(everywhere)
    await everywhere.post("/admin/queues/other/pause")

    answer = await everywhere.get("/admin/stats")
    other = await everywhere.get("/admin/stats", queue="other")
    detail = await everywhere.get("/admin/stats", detail="true")

    assert (answer["queues"], answer["workers"]) == (2, 1)
    assert answer["jobs"].keys() == COUNTS
    assert sum(answer["jobs"].values()) == 9
    assert (answer["throughput"]["processed_per_minute"], answer["throughput"]["failed_per_minute"]) == (2, 3)
    assert isinstance(answer["uptime_seconds"], int)
    assert answer["queue_summary"] == {"total": 2, "active": 1, "paused": 1}
    assert (other["queues"], sum(other["jobs"].values())) == (1, 2)
    assert [queue["name"] for queue in detail["queues"]] == ["default", "other"]


async def test_stats_of_nothing(web: Web) -> None:
    """Zeros, and nothing missing."""
    answer = await web.get("/admin/stats")

    assert (answer["queues"], answer["workers"]) == (0, 0)
    assert answer["jobs"] == dict.fromkeys(COUNTS, 0)
    assert answer["throughput"]["processed_per_minute"] == 0


async def test_history(everywhere: Web) -> None:
    """The last hour in steps; what happened stands where it happened."""
    await fill(everywhere)

    minutes = await everywhere.get("/admin/stats/history", period="1m")
    steps = await everywhere.get("/admin/stats/history", period="5m")

    assert len(minutes["data"]) == 61
    assert len(steps["data"]) in (13, 14)
    for answer in (minutes, steps):
        assert answer["data_points"] == answer["data"]
        assert (answer["data"][-1]["processed"], answer["data"][-1]["failed"]) == (2, 3)
        assert sum(point["processed"] for point in answer["data"]) == 2
    await error_of(everywhere, 400, "invalid_request", "GET", "/admin/stats/history", period="2m")


async def test_workers(everywhere: Web) -> None:
    """Those that sent heartbeats, and those that hold jobs; who was silent for too long is stale."""
    await everywhere.post("/workers/heartbeat", {"worker_id": "old", "state": "running"})
    everywhere.clock.advance(20_000)
    await everywhere.post("/workers/heartbeat", {"worker_id": "new", "state": "quiet"})
    await everywhere.enqueue()
    await everywhere.fetch_one()
    everywhere.clock.advance(15_000)

    answer = await everywhere.get("/admin/workers", page=1, per_page=50)
    one = await everywhere.get("/admin/workers/worker-1")

    assert [(item["id"], item["state"], item["active_jobs"]) for item in answer["items"]] == [
        ("new", "quiet", 0), ("old", "stale", 0), ("worker-1", "running", 1)
    ]  # fmt: skip
    assert all(item["queues"] == [] for item in answer["items"])
    assert answer["summary"] == {"total": 3, "running": 1, "quiet": 1, "stale": 1}
    assert answer["pagination"]["total"] == 3
    assert one == answer["items"][2]
    await error_of(everywhere, 404, "not_found", "GET", "/admin/workers/nobody")


# Dead letters


async def test_dead_letters(everywhere: Web) -> None:
    """In short, the latest first, with figures."""
    first = await everywhere.bury("a")
    everywhere.clock.advance(1_000)
    second = await everywhere.bury("a")
    await discard(everywhere, "a")

    answer = await everywhere.get("/admin/dead-letter", page=1, per_page=1)
    stats = await everywhere.get("/admin/dead-letter/stats")

    assert [item["id"] for item in answer["items"]] == [second["id"]]
    assert (answer["total"], answer["pagination"]["has_more"]) == (2, True)
    assert stats == {
        "total": 2,
        "by_queue": {"a": 2},
        "by_type": {"test.job": 2},
        "by_error_type": {"boom": 2},
        "oldest_at": first["discarded_at"],
        "newest_at": second["discarded_at"],
    }
    assert await everywhere.get("/dead-letter/stats") == stats


async def test_no_dead_letters(web: Web) -> None:
    """Nothing but zeros."""
    assert (await web.get("/admin/dead-letter"))["items"] == []
    assert (await web.get("/admin/dead-letter/stats"))["total"] == 0


async def test_one_dead_letter(everywhere: Web) -> None:
    """It is retried or deleted, and then it is none."""
    first, second = await everywhere.bury(), await everywhere.bury()

    retried = await everywhere.post(f"/admin/dead-letter/{first['id']}/retry")
    gone = await everywhere.delete(f"/admin/dead-letter/{second['id']}", status=204)

    assert (retried["id"], retried["state"]) == (first["id"], "available")
    assert gone is None
    for job in (first, second):
        await error_of(everywhere, 404, "not_found", "DELETE", f"/admin/dead-letter/{job['id']}")
    await error_of(everywhere, 404, "not_found", "POST", f"/admin/dead-letter/{second['id']}/retry")


async def test_all_dead_letters(everywhere: Web) -> None:
    """All of a filter are retried; discarded jobs that are none stay."""
    await everywhere.bury("a")
    await everywhere.bury("b")
    plain = await discard(everywhere)

    answer = await everywhere.post("/admin/dead-letter/retry", {"filter": {"error_type": "boom"}, "confirm": True})
    nothing = await everywhere.post("/admin/dead-letter/retry", {"filter": {}, "confirm": True})

    assert (answer["retried"], answer["matched"], nothing["matched"]) == (2, 2, 0)
    assert (await everywhere.job(plain["id"]))["state"] == "discarded"


async def test_purge_of_dead_letters(everywhere: Web) -> None:
    """All of them, or those that were created long enough ago."""
    await everywhere.bury()
    everywhere.clock.advance(8 * 86_400_000)
    young = await everywhere.bury()

    old = await everywhere.post("/dead-letter/purge", older_than="7d")
    left = (await everywhere.get("/admin/dead-letter"))["items"]
    rest = await everywhere.post("/dead-letter/purge")

    assert (old["deleted"], rest["deleted"]) == (1, 1)
    assert [item["id"] for item in left] == [young["id"]]


# Deletion


async def test_bulk_delete(everywhere: Web) -> None:
    """All finished jobs of a filter, if that is confirmed; others stay."""
    await fill(everywhere)

    await error_of(everywhere, 400, "invalid_request", "POST", "/admin/jobs/bulk/delete", {"filter": {}})
    some = await everywhere.post("/admin/jobs/bulk/delete", {"filter": {"state": "completed"}, "confirm": True})
    none = await everywhere.post("/admin/jobs/bulk/delete", {"filter": {"state": "active"}, "confirm": True})
    rest = await everywhere.post("/admin/jobs/bulk/delete", {"filter": {}, "confirm": True})

    assert [answer["deleted"] for answer in (some, none, rest)] == [2, 0, 3]
    assert (await everywhere.get("/admin/jobs"))["total"] == 4


async def test_delete_by_ids(web: Web) -> None:
    """As the command line sends it: what is not finished is told, and stays."""
    done, living = await discard(web), await web.enqueue()

    answer = await web.post("/jobs/bulk/delete", {"job_ids": [done["id"], living["id"]]})
    later = await web.post("/jobs/bulk/delete", {"filter": {"state": "completed", "older_than": "7d"}})

    assert (answer["deleted"], answer["failed"], answer["errors"][0]["job_id"]) == (1, 1, living["id"])
    assert later["deleted"] == 0
    await error_of(web, 404, "not_found", "GET", f"/jobs/{done['id']}")


async def test_purge_of_a_queue(everywhere: Web) -> None:
    """Its finished jobs in the states that are named, or in all."""
    await fill(everywhere)

    some = await everywhere.post("/queues/default/purge", {"states": ["completed", "cancelled"]})
    rest = await everywhere.post("/queues/default/purge")

    assert (some["deleted"], some["states"], rest["deleted"]) == (3, ["completed", "cancelled"], 1)
    assert (await everywhere.get("/admin/jobs", queue="default"))["total"] == 3
    assert (await everywhere.get("/admin/jobs", queue="other"))["total"] == 2
    await error_of(everywhere, 400, "invalid_request", "POST", "/queues/default/purge", {"states": ["active"]})


async def delete_with(web: Web, path: str, document: Any, status: int = 200) -> Any:  # noqa: ANN401
    """A DELETE with a body, as the admin UI sends it."""
    return await web.send("DELETE", path, document, status=status)


async def test_purge_by_delete(everywhere: Web) -> None:
    """A queue's finished jobs, if that is confirmed in the body."""
    await fill(everywhere)
    path = "/admin/queues/default/jobs"

    for said in (None, {}, {"states": ["completed"]}, {"states": ["active"], "confirm": True}):
        await delete_with(everywhere, path, said, status=400)
    some = await delete_with(everywhere, path, {"states": ["completed"], "confirm": True})
    rest = await delete_with(everywhere, path, {"confirm": True})

    assert (some["purged_count"], some["states"], rest["purged_count"]) == (2, ["completed"], 2)


async def test_purge_of_dead_letters_by_delete(everywhere: Web) -> None:
    """All dead letters of a filter; discarded jobs that are none stay."""
    await everywhere.bury("a")
    await everywhere.bury("b")
    await discard(everywhere)

    await delete_with(everywhere, "/admin/dead-letter", {"queue": "a"}, status=400)
    some = await delete_with(everywhere, "/admin/dead-letter", {"queue": "a", "confirm": True})
    rest = await delete_with(everywhere, "/admin/dead-letter", {"confirm": True})

    assert (some["purged_count"], rest["purged_count"]) == (1, 1)
    assert (await everywhere.get("/admin/jobs", state="discarded"))["total"] == 1
