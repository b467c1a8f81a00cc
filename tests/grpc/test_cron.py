"""RegisterCron, UnregisterCron, ListCron, and what comes of them."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from ojs_grpc_pb.v1 import job_pb2, service_pb2
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions

from ojs_grpc.core.duration import timestamp_ms, to_timestamp
from tests.clock import START
from tests.grpc.service import SECOND, STRANGE_IDS, Service, invalid, not_found, objects, value

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
# The tests begin at 15:06:40.
FULL_HOUR = START - START % HOUR


async def test_register(everywhere: Service) -> None:
    """The answer says at once when it runs; so does the list."""
    answer = await register(everywhere, args=[value(1)], description="every hour")

    assert (answer.name, answer.created) == ("report", True)
    assert timestamp_ms(answer.next_run_at) == FULL_HOUR + HOUR
    assert await entries(everywhere) == [answer.entry]
    entry = answer.entry
    assert (entry.name, entry.cron, entry.timezone, entry.type) == ("report", "0 * * * *", "UTC", "report.make")
    assert (entry.overlap_policy, entry.enabled, entry.description) == ("skip", True, "every hour")
    assert entry.next_run_at == answer.next_run_at
    assert timestamp_ms(entry.created_at) == START
    assert not entry.HasField("last_run_at")


async def test_register_again(everywhere: Service) -> None:
    """Replaces the entry."""
    await register(everywhere)

    answer = await register(everywhere, cron="30 * * * *")

    assert not answer.created
    assert timestamp_ms(answer.next_run_at) == FULL_HOUR + HOUR // 2
    assert await entries(everywhere) == [answer.entry]


async def test_a_disabled_entry_has_no_next_run(service: Service) -> None:
    """By our field, or in `meta`."""
    ours = await register(service, enabled=False)
    stock = await register(service, "other", options=EnqueueOptions(meta=objects({"ojs.cron.enabled": False})))

    for answer in (ours, stock):
        assert not answer.HasField("next_run_at")
        assert not answer.entry.enabled


async def test_an_entry_runs(everywhere: Service) -> None:
    """A worker gets its job; the list shows it."""
    await register(everywhere, options=EnqueueOptions(queue="reports"))

    await everywhere.advance(FULL_HOUR + HOUR - START)

    job = await everywhere.fetch_one("reports")
    assert job.type == "report.make"
    assert MessageToDict(job.meta) == {"cron_name": "report", "cron_triggered_at": "2025-06-15T16:00:00Z"}
    (entry,) = await entries(everywhere)
    assert (entry.run_count, list(entry.recent_jobs)) == (1, [job.id])
    assert timestamp_ms(entry.last_run_at) == FULL_HOUR + HOUR
    assert timestamp_ms(entry.next_run_at) == FULL_HOUR + 2 * HOUR


async def test_a_run_reaches_a_worker_that_waits(everywhere: Service) -> None:
    """It is woken up; it does not have to ask again."""
    await register(everywhere, cron="@every 1s")
    jobs = everywhere.stream()
    await jobs.opened()

    await everywhere.advance(SECOND)

    assert (await jobs.next()).meta["cron_name"] == "report"
    jobs.cancel()


async def test_unregister(everywhere: Service) -> None:
    """It runs no more; the job that it made stays."""
    await register(everywhere, cron="@every 1m")
    await everywhere.advance(MINUTE)

    await everywhere.stub.UnregisterCron(service_pb2.UnregisterCronRequest(name="report"))
    await everywhere.advance(HOUR)

    assert await entries(everywhere) == []
    assert await everywhere.counts() == {"default": 1}


async def test_unregister_what_is_not_there(service: Service) -> None:
    """Whatever it is called."""
    for name in STRANGE_IDS:
        with not_found() as caught:
            await service.stub.UnregisterCron(service_pb2.UnregisterCronRequest(name=name))
        assert caught.info.metadata["resource_type"] == "cron"


async def test_many_entries(service: Service) -> None:
    """All in one list, by name."""
    names = [f"entry-{number:04}" for number in range(600)]
    for name in reversed(names):
        await register(service, name)

    assert [entry.name for entry in await entries(service)] == names


@pytest.mark.parametrize(
    ("broken", "fields"),
    [
        ({"name": "Report"}, ["name"]),
        ({"cron": "0 0 30 2 *"}, ["cron"]),
        ({"cron": "0 0 * * * * *"}, ["cron"]),
        ({"timezone": "EST"}, ["timezone"]),
        ({"overlap_policy": "queue"}, ["overlap_policy"]),
        ({"options": EnqueueOptions(queue="Bad")}, ["options.queue"]),
        ({"options": EnqueueOptions(delay_until=to_timestamp(START))}, ["options.delay_until"]),
        ({"cron": "", "type": ""}, ["cron", "type"]),
    ],
)
async def test_what_breaks_a_rule(service: Service, broken: dict[str, Any], fields: list[str]) -> None:
    """Is refused by the fields' names, and the entry that is there goes on."""
    kept = (await register(service)).entry

    with invalid() as caught:
        await register(service, **broken)

    assert caught.fields == fields
    assert await entries(service) == [kept]


async def test_only_the_retry_policy_breaks_a_rule(service: Service) -> None:
    """As at an enqueue."""
    with invalid("validation_error") as caught:
        await register(service, options=EnqueueOptions(retry=job_pb2.RetryPolicy(max_attempts=-1)))

    assert caught.fields == ["options.retry.max_attempts"]


async def register(
    service: Service, name: str = "report", cron: str = "0 * * * *", **more: Any  # noqa: ANN401 - the other fields
) -> service_pb2.RegisterCronResponse:
    """Registers an entry that runs at every full hour, unless the test says otherwise."""
    request = service_pb2.RegisterCronRequest(**({"name": name, "cron": cron, "type": "report.make"} | more))
    return await service.stub.RegisterCron(request)


async def entries(service: Service) -> list[service_pb2.CronEntry]:
    """All entries."""
    return list((await service.stub.ListCron(service_pb2.ListCronRequest())).entries)
