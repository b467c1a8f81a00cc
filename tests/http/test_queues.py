"""Queues over HTTP (wire section 1.2)."""

from typing import Any

import pytest

from tests.http.service import Web, error_of

SDK = {"ojs-version": "1.0"}
NOTHING = {"available": 0, "active": 0, "scheduled": 0, "retryable": 0, "completed": 0, "discarded": 0}


async def test_no_queues(everywhere: Web) -> None:
    """An empty list, with its pagination."""
    assert await everywhere.get("/queues") == {
        "queues": [],
        "total": 0,
        "pagination": {"total": 0, "has_more": False, "limit": 50, "offset": 0},
    }


async def test_queues_are_listed_by_name(everywhere: Web) -> None:
    """Each as it stands."""
    await everywhere.enqueue(queue="b")
    await everywhere.enqueue(queue="b")
    await everywhere.post("/queues/a/pause")

    queues = (await everywhere.get("/queues"))["queues"]

    since = {"created_at": "2025-06-15T15:06:40.000Z"}
    assert queues == [
        {"name": "a", "status": "paused", "paused": True, "available": 0, **since},
        {"name": "b", "status": "active", "paused": False, "available": 2, **since},
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"limit": 2}, ["q0", "q1"]),
        ({"limit": 2, "offset": 2}, ["q2", "q3"]),
        ({"page": 3, "per_page": 2}, ["q4"]),
        ({"offset": 5}, []),
        ({"offset": 99}, []),
        ({"limit": 9, "cursor": "q3"}, ["q4"]),
    ],
)
async def test_pages(web: Web, query: dict[str, Any], names: list[str]) -> None:
    """By offset, page or cursor; all queues are counted, and there is more if this is not the end."""
    for number in range(5):
        await web.enqueue(queue=f"q{number}")

    answer = await web.get("/queues", **query)

    assert [queue["name"] for queue in answer["queues"]] == names
    pagination = answer["pagination"]
    assert answer["total"] == pagination["total"] == 5
    assert pagination["has_more"] == (names[-1:] not in ([], ["q4"]))
    assert pagination.get("next_cursor") == (names[-1] if pagination["has_more"] else None)


@pytest.mark.parametrize("query", [{"limit": "x"}, {"limit": -1}, {"offset": -1}, {"page": 0}])
async def test_pages_that_are_none(web: Web, query: dict[str, Any]) -> None:
    """Are refused by the parameter's name."""
    error = await error_of(web, 400, "invalid_request", "GET", "/queues", **query)

    assert next(iter(query)) in error["message"]


async def test_the_figures_of_a_queue(everywhere: Web) -> None:
    """As the official suite looks for them, as JavaScript's client does, and as the spec has them."""
    for _ in range(3):
        await everywhere.enqueue(queue="q")
    await everywhere.enqueue(queue="q", scheduled_at="2030-01-01T00:00:00Z")
    everywhere.clock.advance(500)
    done, _ = await everywhere.fetch(2, "q")
    everywhere.clock.advance(250)
    await everywhere.ack(done)

    stats = await everywhere.get("/queues/q/stats")

    counts = NOTHING | {"available": 1, "active": 1, "scheduled": 1, "completed": 1}
    assert stats == {
        "queue": {"name": "q", **counts, "paused": False},
        "name": "q",
        "status": "active",
        "paused": False,
        **counts,
        "stats": {
            **counts,
            "dead": 0,
            "completed_last_hour": 1,
            "failed_last_hour": 0,
            "avg_duration_ms": 250,
            "avg_wait_ms": 500,
            "throughput_per_second": pytest.approx(1 / 60),
        },
        "computed_at": "2025-06-15T15:06:40.750Z",
    }


async def test_the_figures_for_clients(web: Web) -> None:
    """Have the name where the suite has an object, since typed clients decode it."""
    await web.bury("q")

    suite = await web.get("/queues/q/stats")
    client = await web.get("/queues/q/stats", headers=SDK)

    assert client == suite | {"queue": "q"}
    assert (client["discarded"], client["stats"]["discarded"], client["stats"]["dead"]) == (1, 1, 1)


async def test_the_figures_of_an_unknown_queue(web: Web) -> None:
    """Are all zero, and make no queue."""
    stats = await web.get("/queues/never-seen/stats")

    assert {name: stats["queue"][name] for name in NOTHING} == NOTHING
    assert (stats["status"], stats["stats"]["avg_wait_ms"]) == ("active", 0)
    assert (await web.get("/queues"))["queues"] == []


async def test_pause_and_resume(everywhere: Web) -> None:
    """A paused queue takes jobs and gives none."""
    paused = await everywhere.post("/queues/q/pause")
    job = await everywhere.enqueue(queue="q")
    fetched_while_paused = await everywhere.fetch(1, "q")
    stats = await everywhere.get("/queues/q/stats")
    everywhere.clock.advance(1000)
    resumed = await everywhere.post("/queues/q/resume", {})

    assert paused == {
        "queue": {"name": "q", "paused": True},
        "name": "q",
        "paused": True,
        "status": "paused",
        "paused_at": "2025-06-15T15:06:40.000Z",
    }
    assert fetched_while_paused == []
    assert (stats["status"], stats["paused"], stats["queue"]["paused"]) == ("paused", True, True)
    assert resumed == {
        "queue": {"name": "q", "paused": False},
        "name": "q",
        "paused": False,
        "status": "active",
        "resumed_at": "2025-06-15T15:06:41.000Z",
    }
    assert (await everywhere.fetch_one("q"))["id"] == job["id"]


@pytest.mark.parametrize(("method", "verb"), [("GET", "stats"), ("POST", "pause"), ("POST", "resume")])
async def test_names_that_no_queue_has(web: Web, method: str, verb: str) -> None:
    """Are refused."""
    for name in ("Q", "%20", "a%2Fb", "x" * 129):
        await error_of(web, 400, "invalid_request", method, f"/queues/{name}/{verb}")
