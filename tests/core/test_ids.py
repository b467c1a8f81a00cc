"""Job ids and partitions: what is stored under them must be found again by every later version."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ojs_grpc.core import ids

NOW = 1_763_783_000_123
PARTITIONS = st.integers(0, ids.PARTITIONS - 1)


@pytest.fixture(autouse=True)
def _sequence() -> Iterator[None]:
    """Lets every test begin a new sequence, and the process go on with its own."""
    before = ids._ms, ids._count, ids._head
    begin_sequence()
    yield
    ids._ms, ids._count, ids._head = before


def begin_sequence() -> None:
    """As in a process that has made no id yet."""
    ids._ms, ids._count, ids._head = -1, 0, ""


def time_of(job_id: str) -> int:
    """The 48 bits of an id that are milliseconds."""
    return int(job_id[:8] + job_id[9:13], 16)


def count_of(job_id: str) -> int:
    """The 12 bits of an id that count within its millisecond."""
    return int(job_id[15:18], 16)


def crc16(data: bytes) -> int:
    """CRC16/XMODEM bit by bit, as in the Redis Cluster specification."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


# Partitions


@pytest.mark.parametrize(
    ("queue", "partition"), [("123456789", 0xC3), ("default", 0x56), ("emails", 0x90), ("a", 0x87), ("", 0x00)]
)
def test_partition_of_a_queue_never_changes(queue: str, partition: int) -> None:
    """These numbers are in stored key names; the first is the check value of Redis Cluster's CRC16, 0x31C3."""
    assert ids.partition_of_queue(queue) == partition


@given(st.text())
def test_partition_of_a_queue_is_its_crc16(queue: str) -> None:
    """Any name has the partition that other implementations compute."""
    assert ids.partition_of_queue(queue) == crc16(queue.encode()) % 256


def test_queues_spread_over_all_partitions() -> None:
    """A few thousand similar names leave no partition empty."""
    assert {ids.partition_of_queue(f"tenant-{number}") for number in range(4000)} == set(range(256))


def test_tags_are_two_lower_case_digits() -> None:
    """The tag of each partition is its number in hex, padded."""
    assert [ids.tag(partition) for partition in range(256)] == [f"{partition:02x}" for partition in range(256)]


def test_an_id_ends_with_its_partition() -> None:
    """A job is found from its id alone."""
    made = {partition: ids.new_id(NOW, partition) for partition in range(256)}

    assert {partition: ids.partition_of_id(job_id) for partition, job_id in made.items()} == {n: n for n in range(256)}
    assert all(job_id.endswith(ids.tag(partition)) for partition, job_id in made.items())


@pytest.mark.parametrize("text", ["", "c", "C3", "+3", " 3", "x3", "3\n"])
def test_text_without_a_partition_is_refused(text: str) -> None:
    """What `int(text, 16)` would let through is no partition either."""
    with pytest.raises(KeyError):
        ids.partition_of_id(text)


# New ids


@given(st.integers(0, 2**48 - 1), PARTITIONS)
def test_an_id_is_a_uuid_of_version_7_with_its_time(now: int, partition: int) -> None:
    """Other UUID libraries read the same time, version and variant."""
    begin_sequence()

    job_id = ids.new_id(now, partition)

    parsed = uuid.UUID(job_id)
    assert str(parsed) == job_id
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert time_of(job_id) == parsed.int >> 80 == now
    assert ids.is_id(job_id)


@given(st.lists(st.tuples(st.integers(NOW, NOW + 5), PARTITIONS), min_size=2, max_size=100))
def test_ids_grow_whatever_the_clock_does(calls: list[tuple[int, int]]) -> None:
    """Every id sorts after all earlier ones, as text, over all partitions, also when time goes back."""
    begin_sequence()

    made = [ids.new_id(now, partition) for now, partition in calls]

    assert made == sorted(set(made))


def test_a_full_millisecond_borrows_the_next() -> None:
    """Ten thousand ids of one millisecond are distinct and in order; each 4096 carry one time."""
    made = [ids.new_id(NOW, number % 256) for number in range(10_000)]

    assert made == sorted(set(made))
    assert [time_of(job_id) - NOW for job_id in made] == [number // 4096 for number in range(10_000)]
    assert all(map(ids.is_id, made))


def test_the_clock_may_arrive_in_a_borrowed_millisecond() -> None:
    """Ids of a millisecond that was already begun on credit continue its count."""
    borrowed = [ids.new_id(NOW, 0) for _ in range(4096 + 10)][-1]

    following = ids.new_id(NOW + 1, 0)

    assert time_of(following) == time_of(borrowed) == NOW + 1
    assert count_of(following) == count_of(borrowed) + 1


def test_a_clock_that_goes_back_is_not_followed() -> None:
    """Ids keep the latest time until the clock has passed it."""
    ids.new_id(NOW, 0)

    assert time_of(ids.new_id(NOW - 60_000, 0)) == NOW
    assert time_of(ids.new_id(NOW + 1, 0)) == NOW + 1


def test_each_millisecond_counts_from_zero() -> None:
    """A new millisecond has its whole room, whatever the one before used up."""
    for _ in range(100):
        ids.new_id(NOW, 0)

    assert count_of(ids.new_id(NOW + 1, 0)) == 0


def test_all_54_other_bits_are_random() -> None:
    """Among a thousand ids each bit that is not time, count, version, variant or partition is seen as 0 and as 1."""
    tails = [uuid.UUID(ids.new_id(NOW, 0)).int >> 8 & (1 << 54) - 1 for _ in range(1000)]

    ever_set, always_set = 0, (1 << 54) - 1
    for tail in tails:
        ever_set |= tail
        always_set &= tail
    assert (ever_set, always_set) == ((1 << 54) - 1, 0)
    assert len(set(tails)) == 1000


def test_processes_do_not_repeat_each_other() -> None:
    """Two sequences that count through the same milliseconds have no id in common."""
    first = {ids.new_id(NOW, 0) for _ in range(1000)}
    begin_sequence()
    second = {ids.new_id(NOW, 0) for _ in range(1000)}

    assert not first & second


def test_random_digits_do_not_pile_up() -> None:
    """New ones are drawn when the spare ones are used up, not before."""
    ids._tails.clear()

    for _ in range(1000):
        ids.new_id(NOW, 0)

    assert len(ids._tails) < 256


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_draws_its_own_digits() -> None:
    """Random digits that were drawn before a fork are used by the parent only."""
    script = f"""
import os
from ojs_grpc.core.ids import new_id
new_id({NOW}, 0)
child = os.fork()
os.write(1, new_id({NOW}, 0).encode() + b"\\n")
if child:
    os.waitpid(child, 0)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()

    assert len(printed) == 2
    assert all(map(ids.is_id, printed))
    assert printed[0] != printed[1]


# What is an id


GOOD = "019aa9a8-c03b-7abc-9def-0123456789c4"


@pytest.mark.parametrize("variant", "89ab")
def test_every_variant_digit_of_rfc_9562_is_an_id(variant: str) -> None:
    """Ids that clients choose may have any of the four."""
    assert ids.is_id(f"019aa9a8-c03b-7abc-{variant}def-0123456789c4")


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        GOOD.replace("-7", "-4"),
        GOOD.replace("-9def", "-7def"),
        GOOD.replace("-9def", "-cdef"),
        GOOD.replace("-", ""),
        GOOD + "\n",
        "\n" + GOOD,
        " " + GOOD,
        GOOD + "0",
        GOOD[:-1],
        "{" + GOOD + "}",
        "urn:uuid:" + GOOD,
        GOOD.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"),
        GOOD + "\n" + GOOD,
    ],
)
def test_other_text_is_no_id(text: str) -> None:
    """Other versions, variants, cases and spellings are refused, and so is a line break at the end."""
    assert not ids.is_id(text)


@given(st.integers(0, len(GOOD) - 1), st.characters(exclude_characters="0123456789abcdef-"))
def test_one_wrong_character_is_enough(at: int, wrong: str) -> None:
    """No position of an id is left unchecked."""
    assert ids.is_id(GOOD)
    assert not ids.is_id(GOOD[:at] + wrong + GOOD[at + 1 :])
