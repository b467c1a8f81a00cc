"""Events over HTTP, as they happen: server-sent events that every SDK can read."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import pytest

from ojs_grpc.bindings.http import sse
from ojs_grpc.bindings.http.route import Chunks, Stream
from ojs_grpc.bindings.http.sending import send_stream
from ojs_grpc.core.event_rendering import gap
from ojs_grpc.operations.event_filters import Filters
from tests.http.raw import Raw
from tests.http.service import UNKNOWN_ID, Web, error_of, eventually, patience

SECOND = 1000

Message = MutableMapping[str, Any]


class Frame(NamedTuple):
    """One event as it came."""

    id: str
    event: str
    data: dict[str, Any]


class Listener:
    """Reads a stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.comments: list[str] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        """The next event."""
        fields: dict[str, str] = {}
        async with patience():
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    assert name not in fields
                    fields[name] = value
                elif "data" in fields:
                    return Frame(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
                else:
                    fields.clear()
        raise StopAsyncIteration

    async def read(self, count: int) -> list[Frame]:
        """The next events."""
        return [await anext(self) for _ in range(count)]

    async def rest(self) -> list[Frame]:
        """All until the stream ends."""
        return [frame async for frame in self]


@asynccontextmanager
async def listening(web: Web, path: str, last: str = "", **query: str) -> AsyncIterator[Listener]:
    """An open stream."""
    headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
    async with web.client.stream("GET", f"/ojs/v1{path}", params=query, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        yield Listener(answer.aiter_lines())


def names(frames: list[Frame]) -> list[str]:
    """Of the events."""
    return [frame.event for frame in frames]


# All events


async def test_events_come_as_they_happen(everywhere: Web) -> None:
    """Each under the name of its type, with all that polls tell, and what readers look for at the top."""
    async with listening(everywhere, "/events/stream") as stream:
        job = await everywhere.enqueue("email.send", ["é\u2028"], options={"queue": "mail"})
        await everywhere.fetch_one("mail")
        await everywhere.ack(job)
        frames = await stream.read(3)

    polled = (await everywhere.get("/events"))["events"]
    assert names(frames) == ["job.enqueued", "job.started", "job.completed"]
    assert [frame.id for frame in frames] == [event["id"] for event in polled]
    started = frames[1].data
    assert {name: started[name] for name in polled[1]} == polled[1]
    assert {name: value for name, value in started.items() if name not in polled[1]} == {
        "event": "job.started",
        "timestamp": polled[1]["time"],
        "job_id": job["id"],
        "job_type": "email.send",
        "queue": "mail",
        "worker_id": "worker-1",
        "attempt": 1,
        "state": "active",
        "from": "available",
        "to": "active",
    }


async def test_a_stream_goes_on_after_the_last_event(everywhere: Web) -> None:
    """As a client says that lost its connection; one that says nonsense gets what happens next."""
    for number in range(3):
        await everywhere.enqueue(f"job.t{number}")
    known = (await everywhere.get("/events"))["events"]

    cursor = (await everywhere.get("/events", limit=1))["cursor"]

    for how in ({"last": known[0]["id"]}, {"after": known[0]["id"]}, {"after": cursor + "~00.1.2"}):
        async with listening(everywhere, "/events/stream", **how) as stream:
            assert [frame.id for frame in await stream.read(2)] == [event["id"] for event in known[1:]]
    async with listening(everywhere, "/events/stream", last="42") as stream:
        await everywhere.enqueue("job.next")
        assert (await anext(stream)).data["job_type"] == "job.next"


async def test_filters_narrow_a_stream(everywhere: Web) -> None:
    """As they narrow a poll."""
    query = {"types": "job.enqueued", "queues": "a,b", "job_types": "x.y"}
    async with listening(everywhere, "/events/stream", **query) as stream:
        for type_, queue in (("x.z", "a"), ("x.y", "c"), ("x.y", "b"), ("x.y", "a")):
            await everywhere.enqueue(type_, options={"queue": queue})
        assert [frame.data["queue"] for frame in await stream.read(2)] == ["b", "a"]


async def test_a_channel_is_a_job_a_queue_or_all(everywhere: Web) -> None:
    """As SDKs name what they subscribe to."""
    job, other = await everywhere.enqueue(options={"queue": "a"}), await everywhere.enqueue(options={"queue": "b"})
    async with (
        listening(everywhere, "/events/stream", channel=f"job:{job['id']}") as of_job,
        listening(everywhere, "/events/stream", channel="queue:b") as of_queue,
        listening(everywhere, "/events/stream", channel="all") as of_all,
    ):
        await everywhere.delete(f"/jobs/{other['id']}")
        await everywhere.delete(f"/jobs/{job['id']}")
        assert (await anext(of_job)).data["job_id"] == job["id"]
        assert (await anext(of_queue)).data["job_id"] == other["id"]
        assert [frame.data["job_id"] for frame in await of_all.read(2)] == [other["id"], job["id"]]


async def test_changes_of_state_have_one_name_if_asked(web: Web) -> None:
    """Then `type` is that of the job."""
    async with listening(web, "/events/stream", types="job.state_changed,queue.paused") as stream:
        job = await web.enqueue("email.send")
        await web.fetch_one()
        await web.nack(job)
        await web.post("/queues/mail/pause")
        frames = await stream.read(4)

    assert names(frames) == [*["job.state_changed"] * 3, "queue.paused"]
    assert [(frame.data.get("from"), frame.data["to"], frame.data["event"]) for frame in frames[:3]] == [
        (None, "available", "job.enqueued"),
        ("available", "active", "job.started"),
        ("active", "retryable", "job.retrying"),
    ]
    assert frames[0].data["type"] == "email.send"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"channel": "jobs"}, 400, "invalid_request"),
        ({"channel": "job:"}, 400, "invalid_request"),
        ({"channel": "queue:Not OK"}, 400, "invalid_request"),
        ({"after": "x"}, 400, "invalid_request"),
        ({"channel": f"job:{UNKNOWN_ID}"}, 404, "not_found"),
        ({"channel": "job:x"}, 404, "not_found"),
    ],
)
async def test_what_cannot_be_streamed_is_an_error(web: Web, query: dict[str, str], status: int, code: str) -> None:
    """Before the stream, as JSON."""
    await error_of(web, status, code, "GET", "/events/stream", **query)

    assert web.listeners == 0


async def test_a_reader_from_the_future_keeps_nobody_from_the_present(everywhere: Web) -> None:
    """Who says an id that nothing has yet may wait; whoever comes after gets what happens."""
    future = "evt_ffffffff-ffff-7fff-bfff-ffffffffffff"
    async with (
        listening(everywhere, "/events/stream", last=future),
        listening(everywhere, "/events/stream") as stream,
    ):
        job = await everywhere.enqueue()

        assert (await anext(stream)).data["job_id"] == job["id"]


async def test_a_job_that_is_scheduled_was_nothing_before(web: Web) -> None:
    """When its time has come, it was scheduled."""
    async with listening(web, "/events/stream", types="job.state_changed") as stream:
        await web.enqueue(options={"delay_until": "PT1S"})
        await web.grpc.advance(2 * SECOND)
        frames = await stream.read(2)

    assert [(frame.data.get("from"), frame.data["to"]) for frame in frames] == [
        (None, "scheduled"), ("scheduled", "available")
    ]  # fmt: skip


# One job


async def test_the_stream_of_a_job_ends_with_it(everywhere: Web) -> None:
    """It tells of its changes of state by one name, and of all else by its own."""
    job = await everywhere.enqueue("email.send", retry={"max_attempts": 2, "initial_interval": "PT1S", "jitter": False})
    await everywhere.enqueue("other.job", options={"queue": "other"})
    async with listening(everywhere, f"/jobs/{job['id']}/events") as stream:
        await everywhere.fetch_one()
        await everywhere.put(f"/jobs/{job['id']}/progress", {"progress": 0.75, "message": "page 3 of 4"})
        await everywhere.nack(job)
        await everywhere.grpc.advance(2 * SECOND)
        await everywhere.fetch_one()
        await everywhere.ack(job)
        frames = await stream.rest()

    changes = [frame.data for frame in frames if frame.event == "job.state_changed"]
    assert [change["to"] for change in changes] == ["active", "retryable", "available", "active", "completed"]
    assert {change["type"] for change in changes} == {"email.send"}
    assert names(frames) == [
        "job.state_changed", "job.heartbeat", "job.progress", "job.failed", *["job.state_changed"] * 4
    ]  # fmt: skip
    progress = frames[2].data
    assert (progress["progress"], progress["message"]) == (75, "page 3 of 4")
    assert everywhere.listeners == 0


async def test_the_stream_of_a_job_that_ended_says_so(everywhere: Web) -> None:
    """And ends; a client that knows an earlier event gets what it missed."""
    job = await everywhere.enqueue()
    await everywhere.fetch_one()
    await everywhere.ack(job)
    first, *missed = (await everywhere.get("/events"))["events"]

    async with listening(everywhere, f"/jobs/{job['id']}/events") as stream:
        (frame,) = await stream.rest()
    async with listening(everywhere, f"/jobs/{job['id']}/events", last=first["id"]) as stream:
        rest = await stream.rest()

    assert (frame.event, frame.data["from"], frame.data["to"]) == ("job.state_changed", "completed", "completed")
    assert [event.id for event in rest] == [event["id"] for event in missed]


async def test_the_stream_of_a_dead_letter_that_was_retried_goes_on(everywhere: Web) -> None:
    """Though the job had ended before, as whoever comes back late learns."""
    job = await everywhere.bury()
    first = (await everywhere.get("/events"))["events"][0]
    await everywhere.post(f"/dead-letter/{job['id']}/retry")

    async with listening(everywhere, f"/jobs/{job['id']}/events", last=first["id"]) as stream:
        await everywhere.fetch_one()
        await everywhere.ack(job)
        states = [frame.data["to"] for frame in await stream.rest() if frame.event == "job.state_changed"]

    assert states[:2] == ["active", "discarded"]
    assert states[-2:] == ["active", "completed"]


async def test_wanted_events_of_a_job(web: Web) -> None:
    """Only these come; the stream ends with the job all the same."""
    job = await web.enqueue()
    async with listening(web, f"/jobs/{job['id']}/events", event_types="job.started") as stream:
        await web.fetch_one()
        await web.ack(job)
        assert names(await stream.rest()) == ["job.started"]


async def test_a_job_that_is_not_there_has_no_stream(web: Web) -> None:
    """An error as for any other question about it."""
    for job_id in (UNKNOWN_ID, "x"):
        for path in (f"/jobs/{job_id}/events", f"/jobs/{job_id}/progress/stream"):
            await error_of(web, 404, "not_found", "GET", path)
    assert web.listeners == 0


# One queue


async def test_the_stream_of_a_queue(everywhere: Web) -> None:
    """All of its jobs, and the queue itself."""
    await everywhere.enqueue(options={"queue": "mail"})
    async with listening(everywhere, "/queues/mail/events") as stream:
        await everywhere.enqueue(options={"queue": "other"})
        await everywhere.fetch_one("mail")
        await everywhere.post("/queues/mail/pause")
        frames = await stream.read(2)

    assert names(frames) == ["job.state_changed", "queue.paused"]
    assert {frame.data["queue"] for frame in frames} == {"mail"}
    await error_of(everywhere, 404, "not_found", "GET", "/queues/nobody/events")
    await error_of(everywhere, 400, "invalid_request", "GET", "/queues/Nobody/events")


# Progress


async def test_the_stream_of_progress(everywhere: Web) -> None:
    """From what is known on to how the job ends."""
    job = await everywhere.enqueue()
    await everywhere.fetch_one()
    path = f"/jobs/{job['id']}/progress"
    async with listening(everywhere, f"{path}/stream") as stream:
        first = await anext(stream)
        await everywhere.put(path, {"progress": 0.5, "data": {"rows": 5}})
        second = await anext(stream)
        await everywhere.ack(job)
        (last,) = await stream.rest()

    assert (first.event, first.data["progress"]) == ("progress", None)
    assert (second.event, second.data["progress"], second.data["data"]) == ("progress", 0.5, {"rows": 5})
    assert (last.event, last.data["progress"], last.data["state"]) == ("completed", 1.0, "completed")


@pytest.mark.parametrize(("end", "name"), [("cancel", "cancelled"), ("fail", "failed")])
async def test_progress_ends_as_its_job_does(web: Web, end: str, name: str) -> None:
    """Under the name of that, also for whoever comes later."""
    job = await web.enqueue(retry={"max_attempts": 1})
    await web.fetch_one()
    async with listening(web, f"/jobs/{job['id']}/progress/stream") as stream:
        await anext(stream)
        await (web.nack(job) if end == "fail" else web.delete(f"/jobs/{job['id']}"))
        assert names(await stream.rest()) == [name]

    async with listening(web, f"/jobs/{job['id']}/progress/stream") as stream:
        assert names(await stream.rest()) == [name]


# On the wire


async def test_frames_have_the_form_that_all_readers_take(web: Web) -> None:
    """One line of data in ASCII, LF alone, an empty line behind; and when to come back after a loss."""
    async with Raw(web.address) as connection, asyncio.timeout(10):
        connection._writer.write(b"GET /ojs/v1/events/stream HTTP/1.1\r\nhost: x\r\n\r\n")
        text = b""
        while b"retry" not in text:
            text += await connection._reader.read(4096)
        await web.enqueue("a.b", meta={"x": "é\u2028\r\n"})
        await web.fetch_one()
        await web.nack({"id": (await web.get("/events"))["events"][0]["subject"]}, error={"message": "\u2028\r\né"})
        while b"job.retrying" not in text:
            text += await connection._reader.read(65536)

    body = text.partition(b"\r\n\r\n")[2]
    assert b"retry: 3000\n\n" in body
    frames = [part for part in body.split(b"\n\n") if b"event: " in part]
    assert all(frame.isascii() for frame in frames)
    (failed,) = [frame for frame in frames if b"event: job.failed" in frame]
    lines = failed[failed.index(b"id: ") :].split(b"\n")
    assert [line.partition(b": ")[0] for line in lines] == [b"id", b"event", b"data"]
    assert b"\\u2028" in lines[2]


async def test_a_quiet_stream_says_that_it_is_there(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a comment, which readers overlook."""
    monkeypatch.setattr(sse, "KEEPALIVE_SECONDS", 0.02)
    async with listening(web, "/events/stream") as stream:
        reading = asyncio.create_task(anext(stream))
        await eventually(lambda: len(stream.comments) >= 2)
        await web.enqueue()
        await reading

    assert set(stream.comments) == {":heartbeat"}


def test_what_a_slow_reader_missed_is_counted() -> None:
    """In its place."""
    dropped = sse.tell(gap(7, f"evt_{UNKNOWN_ID}", 0), sse.Naming.TYPES, "queue:mail")

    comment, _, frame = dropped.frame.decode().partition("\n\n")
    data = json.loads(frame.split("data: ")[1])
    assert comment == ":events-dropped 7"
    assert "event: system.events_dropped\n" in frame
    assert (data["channel"], data["dropped_count"], data["after"]) == ("queue:mail", 7, f"evt_{UNKNOWN_ID}")


async def test_a_large_event_loses_its_result(web: Web) -> None:
    """Rather than a reader that has no room for such a line."""
    job = await web.enqueue()
    await web.fetch_one()
    async with listening(web, "/events/stream", types="job.completed") as stream:
        await web.ack(job, result={"text": "x" * 60_000})
        frame = await anext(stream)

    assert frame.data["truncated"] is True
    assert "result" not in frame.data["data"]


async def test_who_goes_away_is_forgotten(everywhere: Web) -> None:
    """Without waiting for the next event."""
    async with listening(everywhere, "/events/stream") as stream:
        await everywhere.enqueue()
        await anext(stream)
        assert everywhere.listeners == 1

    await eventually(lambda: everywhere.listeners == 0)


async def test_streams_end_when_the_server_stops(web: Web) -> None:
    """With a word about it, so that clients turn to another one."""
    job = await web.enqueue()
    async with (
        listening(web, "/events/stream") as stream,
        listening(web, f"/jobs/{job['id']}/progress/stream") as progress,
    ):
        await anext(progress)
        web.grpc.server.engine.end_streams()
        assert names(await stream.rest()) == ["server.shutdown"]
        assert names(await progress.rest()) == ["server.shutdown"]


async def test_a_thousand_streams(web: Web) -> None:
    """All of them hear of it."""
    async with patience():
        connections = [await asyncio.open_connection(*web.address.split(":"), limit=1 << 12) for _ in range(1000)]
        for _, writer in connections:
            writer.write(b"GET /ojs/v1/events/stream?types=job.enqueued HTTP/1.1\r\nhost: x\r\n\r\n")
        for reader, _ in connections:
            await reader.readuntil(b"retry: 3000\n\n")
        job = await web.enqueue()
        for reader, _ in connections:
            assert job["id"].encode() in await reader.readuntil(b"}\n\n")
    for _, writer in connections:
        writer.close()
    await eventually(lambda: web.listeners == 0)


async def test_a_stream_is_closed_that_never_began(web: Web) -> None:
    """As when the server stops, or a header cannot be sent, before the first byte."""
    events = await sse.open_events(web.grpc.server.engine.events, Filters())

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(_: Message) -> None:
        raise asyncio.CancelledError

    stream = Stream(sse.Frames(events, sse.Naming.TYPES, "all"))
    with pytest.raises(asyncio.CancelledError):
        await send_stream(stream, "req_1", [(b"content-type", b"")], receive, send)

    assert web.listeners == 0


async def test_a_long_stream_gives_others_their_turn() -> None:
    """Also when its reader is fast enough for all of it."""
    turns = 0

    class Endless(Chunks):
        async def __anext__(self) -> bytes:
            if turns == 10:
                raise StopAsyncIteration
            return b"x"

        async def aclose(self) -> None:
            pass

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(_: Message) -> None:
        pass

    async def count() -> None:
        nonlocal turns
        for _ in range(10):
            await asyncio.sleep(0)
            turns += 1

    async with patience():
        headers = [(b"content-type", b"")]
        await asyncio.gather(send_stream(Stream(Endless()), "req_1", headers, receive, send), count())


async def test_the_head_of_a_stream(web: Web) -> None:
    """HEAD is answered at once, and nothing stays open."""
    async with patience():
        answer = await web.client.head("/ojs/v1/events/stream")
        after = await web.client.get("/ojs/v1/health")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert after.status_code == 200
    assert web.listeners == 0
