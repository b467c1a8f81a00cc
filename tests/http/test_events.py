"""Events over HTTP, polled."""

from typing import Any

import pytest

from tests.http.service import UNKNOWN_ID, Web, error_of

TIME = "2025-06-15T15:06:40.000Z"


async def poll(web: Web, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The events that a query finds."""
    return list((await web.get("/events", **query))["events"])


async def test_what_happened_to_a_job_is_told(everywhere: Web) -> None:
    """At once, in the envelope of the spec, with the job in its data."""
    job = await everywhere.enqueue("email.send", options={"queue": "mail", "priority": 5})
    await everywhere.fetch_one("mail")
    everywhere.clock.advance(7)
    await everywhere.ack(job, result={"ok": True})

    enqueued, started, completed = await poll(everywhere, queues="mail")

    assert [event["type"] for event in (enqueued, started, completed)] == [
        "job.enqueued", "job.started", "job.completed"
    ]  # fmt: skip
    assert enqueued.pop("id").startswith("evt_")
    about = {"job_id": job["id"], "job_type": "email.send", "queue": "mail"}
    assert enqueued == {
        "specversion": "1.0",
        "type": "job.enqueued",
        "source": "ojs://ojs-grpc/api",
        "time": TIME,
        "subject": job["id"],
        "data": {**about, "state": "available", "priority": 5},
    }
    assert completed["data"] == {
        **about,
        "state": "completed",
        "duration_ms": 7,
        "attempt": 1,
        "result": {"ok": True},
    }


async def test_filters_are_lists_with_commas(everywhere: Web) -> None:
    """An event passes all of them, and one entry of each."""
    for type_, queue in (("a.one", "x"), ("a.two", "y"), ("a.one", "z"), ("a.two", "x")):
        await everywhere.enqueue(type_, options={"queue": queue})
    await everywhere.fetch_one("x")

    async def found(**query: str) -> list[str]:
        return [f"{event['data']['job_type']}@{event['data']['queue']}" for event in await poll(everywhere, **query)]

    assert await found(types="job.enqueued", queues="x,z") == ["a.one@x", "a.one@z", "a.two@x"]
    assert await found(job_types="a.two") == ["a.two@y", "a.two@x"]
    assert await found(types="job.started,job.failed") == ["a.one@x"]
    assert await found(event_types="job.*", job_types="a.one", queue="x") == ["a.one@x", "a.one@x"]
    assert await found(types="job.teleported") == []


async def test_pages_follow_each_other(everywhere: Web) -> None:
    """Each begins where the cursor of the one before is; the last one has a cursor too."""
    for number in range(5):
        await everywhere.enqueue(f"job.t{number}")

    found, cursor, more = [], "", True
    while more:
        page = await everywhere.get("/events", limit=2, types="job.enqueued", after=cursor)
        found += [event["data"]["job_type"] for event in page["events"]]
        cursor, more = page["cursor"], page["has_more"]
    await everywhere.enqueue("job.late")
    late = await poll(everywhere, after=cursor)

    assert found == [f"job.t{number}" for number in range(5)]
    assert [event["data"]["job_type"] for event in late] == ["job.late"]


async def test_an_empty_log_has_no_cursor(web: Web) -> None:
    """There is nothing to go on from."""
    assert await web.get("/events") == {"events": [], "has_more": False}


async def test_many_events_fit_into_a_page(web: Web) -> None:
    """A hundred unless more are asked for, up to a thousand."""
    await web.post("/jobs/batch", {"jobs": [{"type": "a.b", "args": []}] * 1500}, status=201)

    sizes = [len(await poll(web, **query)) for query in ({}, {"limit": 0}, {"limit": 700}, {"limit": 5000})]

    assert sizes == [100, 100, 700, 1000]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after": "yesterday"}, "after"),
        ({"queues": "ok,Not OK"}, "queues[1]"),
        ({"job_types": "Not OK"}, "job_types"),
        ({"job_id": "x"}, "job_id"),
        ({"types": ",".join(["job.failed"] * 257)}, "event_types"),
    ],
)
async def test_queries_that_make_no_sense_are_refused(web: Web, query: dict[str, str], field: str) -> None:
    """With the parameter."""
    error = await error_of(web, 400, "invalid_request", "GET", "/events", **query)

    assert error["details"]["field"] == field


async def test_an_event_that_is_gone_is_a_cursor_all_the_same(everywhere: Web) -> None:
    """What came after it, as far as it is there, follows."""
    await everywhere.enqueue()

    assert len(await poll(everywhere, after=f"evt_{UNKNOWN_ID}")) == 1
