"""Results of jobs, and waiting for them (behaviour section 9)."""

import asyncio

from tests.http.service import UNKNOWN_ID, Web, error_of


async def test_result(web: Web) -> None:
    """What there is of it, whatever the job's state."""
    job = await web.hold_job()

    before = await web.get(f"/jobs/{job['id']}/result")
    acked = await web.ack(job, result=[1, None])
    after = await web.get(f"/jobs/{job['id']}/result")

    assert before == {"job_id": job["id"], "state": "active"}
    expected = {"state": "completed", "result": [1, None], "completed_at": acked["completed_at"]}
    assert after == {"job_id": job["id"], **expected}
    await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}/result")


async def test_result_of_a_failure(web: Web) -> None:
    """The error."""
    buried = await web.bury()

    result = await web.get(f"/jobs/{buried['id']}/result")

    assert (result["state"], result["error"]["code"]) == ("discarded", "boom")


async def test_wait_for_a_result(everywhere: Web) -> None:
    """The answer comes when the job has ended."""
    job = await everywhere.hold_job()
    waiting = asyncio.create_task(everywhere.get(f"/jobs/{job['id']}/result", wait="true", timeout=20))
    await everywhere.until_an_event_is_awaited()
    assert not waiting.done()

    await everywhere.ack(job, result={"n": 1})

    assert (await waiting)["result"] == {"n": 1}
    assert (await everywhere.get(f"/jobs/{job['id']}/result", wait="true"))["result"] == {"n": 1}


async def test_wait_in_vain(web: Web) -> None:
    """408 when the time is up; nothing is left of the wait."""
    job = await web.hold_job()

    error = await error_of(web, 408, "timeout", "GET", f"/jobs/{job['id']}/result", wait="true", timeout=0)

    assert error["retryable"] is True
    assert web.listeners == 0
    await error_of(web, 404, "not_found", "GET", f"/jobs/{UNKNOWN_ID}/result", wait="true")
