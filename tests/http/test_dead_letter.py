"""Dead letters over HTTP (wire section 1.2)."""

from typing import Any

import pytest

from tests.http.service import UNKNOWN_ID, Web, error_of


async def test_dead_letters_are_listed(everywhere: Web) -> None:
    """Whole jobs, by queue, oldest first; those of one queue, if it is named."""
    buried = [await everywhere.bury(queue) for queue in ("b", "a", "b")]

    answer = await everywhere.get("/dead-letter")
    some = await everywhere.get("/dead-letter", queue="b")

    assert answer["jobs"] == [buried[1], buried[0], buried[2]]
    assert answer["total"] == 3
    assert answer["pagination"] == {"total": 3, "has_more": False, "limit": 50, "offset": 0}
    assert [job["id"] for job in some["jobs"]] == [buried[0]["id"], buried[2]["id"]]
    assert some["pagination"]["total"] == 2


async def test_what_a_dead_letter_says(web: Web) -> None:
    """Why it is one, and since when."""
    await web.bury()

    (job,) = (await web.get("/dead-letter"))["jobs"]

    assert job["state"] == "discarded"
    assert job["discarded_at"] == "2025-06-15T15:06:40.000Z"
    assert job["error"]["code"] == job["errors"][0]["code"] == "boom"


async def test_a_discarded_job_is_none(web: Web) -> None:
    """Unless its retry policy says so."""
    await web.enqueue(options={"retry": {"max_attempts": 1}})
    job = await web.fetch_one()
    await web.nack(job)

    assert (await web.job(job["id"]))["state"] == "discarded"
    assert (await web.get("/dead-letter"))["jobs"] == []
    await error_of(web, 404, "not_found", "GET", f"/dead-letter/{job['id']}")


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"limit": 2}, [0, 1]),
        ({"limit": 2, "offset": 1}, [1, 2]),
        ({"limit": 2, "offset": 4}, [4]),
        ({"page": 2, "per_page": 3}, [3, 4]),
        ({"limit": 1, "offset": 9}, []),
    ],
)
async def test_pages(web: Web, query: dict[str, Any], places: list[int]) -> None:
    """By offset or page; all are counted."""
    ids = [(await web.bury())["id"] for _ in range(5)]

    answer = await web.get("/dead-letter", **query)

    assert [job["id"] for job in answer["jobs"]] == [ids[place] for place in places]
    assert answer["pagination"]["total"] == 5
    assert answer["pagination"]["has_more"] == (bool(places) and places[-1] < 4)


async def test_pages_by_cursor(everywhere: Web) -> None:
    """Each begins where the one before ended."""
    ids = [(await everywhere.bury())["id"] for _ in range(5)]
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        answer = await everywhere.get("/dead-letter", limit=2, **query)
        seen += [job["id"] for job in answer["jobs"]]
        if not answer["pagination"]["has_more"]:
            break
        query = {"cursor": answer["pagination"]["next_cursor"]}

    assert seen == ids
    assert "next_cursor" not in answer["pagination"]


async def test_lists_that_are_none(web: Web) -> None:
    """Are refused."""
    for query in ({"queue": "Q"}, {"cursor": "x"}, {"limit": "all"}):
        await error_of(web, 400, "invalid_request", "GET", "/dead-letter", **query)


async def test_get_one(web: Web) -> None:
    """The job as it stands."""
    buried = await web.bury()

    assert await web.get(f"/dead-letter/{buried['id']}") == {"job": buried}


async def test_retry(everywhere: Web) -> None:
    """Makes it available, with all its attempts before it."""
    buried = await everywhere.bury()
    everywhere.clock.advance(1000)

    job = (await everywhere.post(f"/dead-letter/{buried['id']}/retry"))["job"]

    assert (job["id"], job["state"], job["attempt"]) == (buried["id"], "available", 0)
    assert job["re_enqueued_at"] == job["enqueued_at"] == "2025-06-15T15:06:41.000Z"
    assert (await everywhere.get("/dead-letter"))["jobs"] == []
    assert (await everywhere.fetch_one())["attempt"] == 1


async def test_retry_with_an_empty_body(web: Web) -> None:
    """Is the same; a second time it is no dead letter any more."""
    buried = await web.bury()

    await web.post(f"/dead-letter/{buried['id']}/retry", {})

    await error_of(web, 404, "not_found", "POST", f"/dead-letter/{buried['id']}/retry")


async def test_delete(everywhere: Web) -> None:
    """Nothing is left of it."""
    job_id = (await everywhere.bury())["id"]

    answer = await everywhere.delete(f"/dead-letter/{job_id}")

    assert answer == {"deleted": True, "id": job_id, "job_id": job_id}
    await error_of(everywhere, 404, "not_found", "GET", f"/jobs/{job_id}")
    await error_of(everywhere, 404, "not_found", "DELETE", f"/dead-letter/{job_id}")


async def test_what_is_no_dead_letter(web: Web) -> None:
    """Is not found, whatever is asked of it."""
    job = await web.enqueue()
    for job_id in (job["id"], UNKNOWN_ID, "x"):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
            await error_of(web, 404, "not_found", method, f"/dead-letter/{job_id}{path}")
    assert (await web.job(job["id"]))["state"] == "available"
