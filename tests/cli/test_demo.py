"""The demo's arithmetic, and that it complains when something does not add up."""

import pytest

from ojs_grpc.cli.demo import checks
from ojs_grpc.cli.demo.ledger import Ledger
from ojs_grpc.cli.demo.plan import KINDS, batches, split
from ojs_grpc.cli.demo.play import _play
from ojs_grpc.cli.demo.stub import Stub
from ojs_grpc.config import Config
from ojs_grpc.server import Server


@pytest.mark.parametrize("jobs", [20, 21, 99, 2500, 100_000])
def test_every_kind_gets_its_share(jobs: int) -> None:
    """Together they are as many as were asked for, and there is one of each at least."""
    counts = split(jobs)

    assert sum(counts.values()) == jobs
    assert min(counts.values()) >= 1
    assert counts["lost"] <= 100


def test_batches_hold_every_job_once() -> None:
    """The last one is shorter."""
    requests = list(batches(KINDS[0], 520, "q", 250))

    assert [len(request.jobs) for request in requests] == [250, 250, 20]
    assert len({entry.args[0].number_value for request in requests for entry in request.jobs}) == 520


async def test_it_adds_up() -> None:
    """A small one, in this process."""
    async with Server(Config(store="memory:", grpc="127.0.0.1:0", http="off")) as server:
        ledger = Ledger(20)

        assert await _play(f"127.0.0.1:{server.port}", ledger) == []
        assert ledger.verified.total() == 20


async def test_a_job_in_the_wrong_state_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the server had lost what a worker reported; the numbers of the workers are compared too."""

    async def verify(stub: Stub, ledger: Ledger, queue: str) -> list[str]:
        ledger.ids["dead"], ledger.ids["cancelled"] = ledger.ids["cancelled"], ledger.ids["dead"]
        ledger.delivered["plain"] += 1
        ledger.refused = 0
        return await original(stub, ledger, queue)

    original = checks.verify
    monkeypatch.setattr("ojs_grpc.cli.demo.play.verify", verify)
    async with Server(Config(store="memory:", grpc="127.0.0.1:0", http="off")) as server:
        complaints = await _play(f"127.0.0.1:{server.port}", Ledger(20))

    text = "\n".join(complaints)
    assert "1 dead jobs should be discarded after 2 attempts" in text
    assert "1 cancelled jobs should be cancelled after 0 attempts" in text
    assert "plain: delivered 15 times, not 14" in text
    assert "1 reports came after the lease had ended, but 0 were refused" in text
    assert "1 dead letters are listed" in text
