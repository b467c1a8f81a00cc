"""The demo from beginning to end."""

import asyncio
import tempfile
import time
import uuid
from pathlib import Path

import grpc

from ojs_grpc.cli.demo.checks import verify
from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS, split
from ojs_grpc.cli.demo.producer import cancel, produce
from ojs_grpc.cli.demo.report import Bars, bars, show
from ojs_grpc.cli.demo.stub import Stub
from ojs_grpc.cli.demo.workers import die, work
from ojs_grpc.config import OFF, Config
from ojs_grpc.server import Server

_STREAMS = 4
_DRAW_SECONDS = 0.1
# Far more than it takes; a demo that hangs should say so.
_PATIENCE_SECONDS = 60.0
_PATIENCE_PER_JOB = 0.02


class DemoFailed(Exception):
    """Something was not as it should be; the text says what, in a line."""


async def play(store: str | None, jobs: int) -> None:
    """Runs server, producer and workers, prints what happened, and checks it.

    Raises:
        DemoFailed: the counts do not add up, a call failed, or it took too long.
        ValueError: there is no such store.
        StoreUnavailable: it cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="ojs-demo-") as folder:
        config = Config(store=store or f"sqlite:///{Path(folder) / 'demo.db'}", grpc="127.0.0.1:0", http=OFF)
        async with Server(config) as server:
            ledger = Ledger(jobs)
            try:
                complaints = await _play(f"127.0.0.1:{server.port}", ledger)
            except (grpc.aio.AioRpcError, ExceptionGroup) as problem:
                raise DemoFailed(_explain(problem)) from problem
            show(ledger, server.engine.store.name, _STREAMS)
    if complaints:
        raise DemoFailed("; ".join(complaints))
    print(f"all {jobs} jobs are where they should be")


async def _play(address: str, ledger: Ledger) -> list[str]:
    queue = f"demo-{uuid.uuid4().hex[:8]}"
    queues = {kind.name: f"{queue}-lost" if kind.loses_a_worker else queue for kind in KINDS}
    # A proxy for the way out to the internet is not for this.
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = Stub(channel)
        with bars(ledger) as shown:
            drawing = asyncio.create_task(_draw(shown))
            await produce(stub, ledger, queues)
            await cancel(stub, ledger)
            for kind in KINDS:
                if kind.loses_a_worker:
                    await die(stub, ledger, queues[kind.name], split(ledger.jobs)[kind.name])
            await _work(stub, ledger, sorted(set(queues.values())))
            complaints = await verify(stub, ledger, queue)
            drawing.cancel()
        return complaints


async def _work(stub: Stub, ledger: Ledger, queues: list[str]) -> None:
    """Lets workers run until every job has come to its end."""
    ledger.working_at = time.perf_counter()
    workers = [asyncio.create_task(work(stub, ledger, queues, f"demo-{number}")) for number in range(_STREAMS)]
    finished = asyncio.create_task(ledger.finished.wait())
    patience = _PATIENCE_SECONDS + _PATIENCE_PER_JOB * ledger.jobs
    done, _ = await asyncio.wait([finished, *workers], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for task in (finished, *workers):
        task.cancel()
    if finished not in done:
        for task in done:
            await task
        raise DemoFailed(f"{ledger.jobs - ledger.ended} of {ledger.jobs} jobs did not end in {patience:.0f} s")
    await asyncio.gather(*workers, return_exceptions=True)


async def _draw(shown: Bars) -> None:
    while True:
        shown.draw()
        await asyncio.sleep(_DRAW_SECONDS)


def _explain(problem: Exception) -> str:
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    if isinstance(problem, grpc.aio.AioRpcError):
        return f"{problem.code().name}: {problem.details()}"
    return repr(problem)
