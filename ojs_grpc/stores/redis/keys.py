"""Every key name, in one place.

A key carries its partition as hash tag (`pp`, two hex digits), so that all keys of a queue lie on one node of a
cluster. The scripts put names together from the prefix `ojs:{pp}:` in the same way (`lua/`; test_scripts.py compares).

    j:<id>           string  a job's record, in the partition of its queue
    at:<id>          string  where a job is whose id names this partition and whose queue has another; reserves the id
    seq lease        string  counters: places in line, and leases
    queues           hash    name of each queue -> when it was created
    facts:<queue>    hash    counts of a queue's jobs
    minute:<queue>   hash    what happened in a queue within one minute, `minute:<queue>:<minutes since the epoch>`
    ready:<queue>    zset    available jobs without limits by priority and place in line
    lane:<queue>     zset    available jobs with the same limits, `lane:<queue>:<limits>`, in the same order
    limited:<queue>  zset    all of these, in the same order
    lanes:<queue>    zset    limits of the lanes that may be open, by the score of their first job
    shut:<queue>     hash    limits of the other lanes -> the set in which each waits
    pending:<queue>  zset    pending jobs by when they were stored
    paused           set     queues that deliver nothing
    due              zset    scheduled and retryable jobs, by when they become available
    ttl              zset    jobs that no worker has had yet, by when they expire
    active           zset    active jobs by when somebody has to look at them
    holders          hash    active job -> the process that streams it, and its worker
    held:<worker>    set     active jobs of a worker
    beat:<worker>    string  a worker's last heartbeat; where it claims, and in the partition of its name
    places:<worker>  set     partitions where a worker claims; in the partition of its name
    workers          zset    workers by when they were last heard of; in partition 0
    done:<queue>     list    completed and cancelled jobs, oldest first
    cancelled:<queue> zset   cancelled jobs by when they ended, again
    discarded:<queue> zset   discarded jobs by when they ended
    dead:<queue>     zset    dead letters by when they ended
    idem:<sha256>    string  what a repeated request is answered
    claimed:<process> string what the last claim of a process leased
    unique:<sha256>  zset    jobs with a fingerprint by creation, `unique:<sha256>:<state>`; in that of its first byte
    ended            zset    state, job and workflow of jobs that ended, by when; in the partition that the id names
    using:<limit>    set     active jobs that use a limit; this and the next three in the partition of its name
    times:<limit>    list    when it was used last
    window:<limit>   string  how many claims of it must be known, and for how long, if many
    waiting:<limit>  zset    what waits for it, by since when: partition and queue, and of a lane its limits
    reopen           zset    the `waiting` sets that somebody has to look at, by when; in partition 0
    documents:<kind> hash    documents by name; this and the next three in the partition of the kind's name
    names:<kind>     zset    their names in order
    wakes:<kind>     zset    those that somebody has to look at, by when
    version          string  counter: versions of documents
    events           stream  what happened, an entry for each script
    logged           string  counter: events of all streams; in partition 0

What is not a job's or a queue's (beat, places, idem, claimed, times, window) expires by itself, and so does minute.
Channels are `ojs:ready` and `ojs:released:<process>`.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final

from ojs_grpc.core.ids import PARTITIONS, partition_of_queue, tag

READY_CHANNEL: Final = "ojs:ready"


def released_channel(process: str) -> str:
    """Where a process hears of jobs that its streams hold no longer."""
    return f"ojs:released:{process}"


def everywhere(name: str) -> list[str]:
    """A key that every partition has, in each of them."""
    return [f"ojs:{{{tag(partition)}}}:{name}" for partition in range(PARTITIONS)]


QUEUES: Final = everywhere("queues")
DUE: Final = everywhere("due")
TTL: Final = everywhere("ttl")
ACTIVE: Final = everywhere("active")
ENDED: Final = everywhere("ended")
EVENTS: Final = everywhere("events")
PATTERN: Final = "ojs:{[0-9a-f][0-9a-f]}:*"
"""What every key matches."""
WORKERS: Final = "ojs:{00}:workers"


# As often as jobs are stored; the bound is for names that callers invent.
@lru_cache(maxsize=16_384)
def place_of(queue: str) -> str:
    """The partition of a queue, as in key names."""
    return tag(partition_of_queue(queue))


def job_at(place: str, job_id: str) -> str:
    """The record of a job, given the partition of its queue."""
    return f"ojs:{{{place}}}:j:{job_id}"


def job(job_id: str) -> str:
    """The record of a job, unless its id names another partition than its queue's; then a pointer is beside it."""
    return f"ojs:{{{job_id[-2:]}}}:j:{job_id}"


def of_queue(name: str, queue: str) -> str:
    """A key that every queue has: ready, facts, pending, done, cancelled, discarded, dead."""
    return f"ojs:{{{place_of(queue)}}}:{name}:{queue}"


def home_of(name: str) -> str:
    """The partition of whatever is no queue and no job, which is a matter of its name alone."""
    return place_of(name)


def of_kind(name: str, kind: str) -> str:
    """A key that every kind of documents has: documents, names, wakes."""
    return f"ojs:{{{home_of(kind)}}}:{name}:{kind}"


def prefix_of(place: str) -> str:
    """What all keys of a partition begin with."""
    return f"ojs:{{{place}}}:"


def beat(place: str, worker: str) -> str:
    """The last heartbeat of a worker, in a partition where it claims or is at home."""
    return f"ojs:{{{place}}}:beat:{worker}"


def places(worker: str) -> str:
    """The partitions where a worker claims."""
    return f"ojs:{{{home_of(worker)}}}:places:{worker}"


def claimed(process: str) -> str:
    """What the last claim of a process leased."""
    return f"ojs:{{{home_of(process)}}}:claimed:{process}"


def idempotency(key: str) -> str:
    """The answer to a request with this idempotency key."""
    digest = sha256(key.encode()).hexdigest()
    return f"ojs:{{{digest[:2]}}}:idem:{digest}"
