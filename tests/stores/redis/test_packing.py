"""How much one script does for units."""

import pytest

from ojs_grpc.core.events import Kind, NewEvent
from ojs_grpc.core.states import SCHEDULED
from ojs_grpc.core.transition import Transition
from ojs_grpc.stores.ports import Ending, Unit, Write
from ojs_grpc.stores.redis import packing
from ojs_grpc.stores.redis.base import MOST_INSERTED
from tests.store.building import job, unique, unit


@pytest.mark.parametrize(
    "small",
    [
        unit(job()),
        unit(job(), links=unique()),
        Unit(changes=[Transition("id", SCHEDULED, 0, SCHEDULED, 0, b"")]),
        Unit(writes=[Write("kind", "name", None, b"")]),
        Unit(endings=[Ending("id", "workflow", 5)]),
        Unit(events=[NewEvent(Kind.CRON_SKIPPED, "name")]),
    ],
    ids=["job", "unique job", "change", "write", "ending", "event"],
)
def test_many_units_are_divided(small: Unit) -> None:
    """Whatever units are about, a script gets only some of many; none is lost."""
    portions = list(packing.portions([small] * 10 * MOST_INSERTED))

    assert sum(map(len, portions)) == 10 * MOST_INSERTED
    assert max(map(len, portions)) <= MOST_INSERTED


def test_a_large_unit_is_one_portion() -> None:
    """However much one caller wants at once, it is done at once."""
    large = unit(*[job() for _ in range(2 * MOST_INSERTED)])

    assert [len(portion) for portion in packing.portions([unit(job()), large, unit(job())])] == [1, 1, 1]
