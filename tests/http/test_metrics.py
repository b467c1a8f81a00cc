"""GET /metrics."""

import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from ojs_grpc_pb.v1.job_pb2 import EnqueueRequest
from prometheus_client.parser import text_string_to_metric_families

from ojs_grpc.bindings.http.call import Call, Query
from ojs_grpc.bindings.http.metrics import MetricsHandlers
from ojs_grpc.bindings.http.route import Answer
from ojs_grpc.core.draft import draft_of
from ojs_grpc.core.envelope import Defaults
from ojs_grpc.errors import StoreUnavailable
from ojs_grpc.operations.engine import Engine
from ojs_grpc.operations.jobs import CallContext
from ojs_grpc.stores import open_store
from ojs_grpc.stores.observed import observe
from ojs_grpc.telemetry.recorder import Recorder
from tests.clock import START, FakeClock
from tests.http.service import Web


@pytest.fixture
async def engine(clock: FakeClock) -> AsyncIterator[Engine]:
    """An engine on an observed store, with a job in it."""
    recorder = Recorder()
    engine = Engine(observe(open_store("memory:", clock=clock), recorder), Defaults(), recorder)
    await engine.start()
    await engine.jobs.enqueue(draft_of(EnqueueRequest(type="test.job")), CallContext())
    yield engine
    await engine.stop()


async def scrape(engine: Engine) -> tuple[Answer, dict[str, float]]:
    """What the handler answers, and the series in it."""
    (route,) = MetricsHandlers(engine).routes()
    assert (route.method, route.path) == ("GET", "/metrics")
    answer: Any = await route.handler(Call({}, {}, Query({}), {}, "req_1", START, lambda: None))  # type: ignore[arg-type,return-value]
    text = answer.document.decode()
    list(text_string_to_metric_families(text))
    return answer, {name: float(value) for name, value in re.findall(r"^([^# ][^ ]*) ([^ ]+)$", text, re.MULTILINE)}


async def test_it_is_text_for_prometheus(engine: Engine) -> None:
    """What happened, and what stands."""
    answer, series = await scrape(engine)

    assert answer.status == 200
    assert answer.media == "text/plain; version=0.0.4; charset=utf-8"
    assert series["ojs_store_up"] == 1
    assert series['ojs_jobs_total{from="new",state="available"}'] == 1
    assert series['ojs_queue_jobs{queue="default",state="available"}'] == 1
    assert series['ojs_store_seconds_count{operation="insert"}'] == 1


async def test_an_outage_of_the_store_is_an_answer(engine: Engine) -> None:
    """Whatever the store does, the figures of the process come."""
    store: Any = engine.store

    async def fail(*_: object) -> None:
        raise StoreUnavailable("gone")

    store.ping = store.queues = store.queue_facts = fail
    answer, series = await scrape(engine)

    assert answer.status == 200
    assert series["ojs_store_up"] == 0
    assert series['ojs_jobs_total{from="new",state="available"}'] == 1
    assert not [name for name in series if name.startswith("ojs_queue")]


async def test_both_bindings_are_told(web: Web) -> None:
    """Each call under its binding, also the scrape before."""
    job = await web.grpc.enqueue()
    await web.client.get(f"/ojs/v1/jobs/{job.id}")
    await web.client.get("/metrics")

    answer = await web.client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for method, binding in (("Enqueue", "grpc"), ("GET /ojs/v1/jobs/{id}", "http"), ("GET /metrics", "http")):
        code = {"grpc": "OK", "http": "200"}[binding]
        line = f'ojs_calls_seconds_count{{binding="{binding}",code="{code}",method="{method}"}} 1.0'
        assert line in answer.text.splitlines()
    assert 'ojs_jobs_total{from="new",state="available"} 1.0' in answer.text.splitlines()


async def test_callers_make_no_series(web: Web) -> None:
    """Whatever paths, methods, ids and headers they think of."""

    async def probe(number: int) -> None:
        await web.client.get(f"/{number}")
        await web.client.get(f"/ojs/v1/jobs/{number}")
        await web.client.get(f"/ojs/v1/queues/q-{number}/stats", headers={"ojs-version": str(number)})
        await web.client.request(f"METHOD{number}", "/ojs/v1/jobs")
        with pytest.raises(grpc.aio.AioRpcError):
            await web.grpc.raw(f"Method{number}", b"")

    calls = web.grpc.server.engine.recorder.calls
    await probe(2)
    known = set(calls)
    for number in range(3, 20):
        await probe(number)

    assert set(calls) == known
