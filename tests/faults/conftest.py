"""What every test of faults may ask for."""

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.redis_server import PrivateRedis


@pytest.fixture
def address() -> str:
    """Where every server of the test listens, one after the other."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def durable_redis() -> Iterator[PrivateRedis]:
    """A Redis that answers only when what it was told is on disk."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with TemporaryDirectory(prefix="ojs-") as folder, PrivateRedis(Path(folder), *options) as server:
        yield server
