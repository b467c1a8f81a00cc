"""Whatever is called in whatever order, every store does what the model says, and nothing is lost."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis_server import PrivateRedis
from tests.store.machine import StoreMachine


@pytest.fixture
def prepare(scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Empties the store, or makes another, for each run of the machine; returns its URL."""

    def empty_redis() -> str:
        server: PrivateRedis = request.getfixturevalue("redis_server")
        server.command("FLUSHALL")
        return server.url

    def new_file() -> str:
        return f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/jobs.db?synchronous=normal"

    return {"memory": lambda: "memory:", "sqlite": new_file, "redis": empty_redis}[scheme]


QUICK = settings(
    max_examples=40,
    stateful_step_count=15,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
DEEP = settings(QUICK, max_examples=100, stateful_step_count=30, derandomize=False, print_blob=True)


# A story that fails is made shorter first, which takes some minutes.
@pytest.mark.timeout(600)
def test_a_store_does_what_the_model_says(prepare: Callable[[], str]) -> None:
    """The same few stories are played on every store."""
    run_state_machine_as_test(partial(StoreMachine, prepare), settings=QUICK)


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.timeout(900)
def test_a_store_does_what_the_model_says_for_long(prepare: Callable[[], str]) -> None:
    """Hundreds of longer stories, other ones each time."""
    run_state_machine_as_test(partial(StoreMachine, prepare), settings=DEEP)
