"""Cron entries in JSON: both forms of a request, and the answer that has both (wire section 1.2)."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from ojs_grpc_pb.v1.job_pb2 import EnqueueOptions
from ojs_grpc_pb.v1.service_pb2 import CronEntry, RegisterCronRequest

from ojs_grpc.codec.cron import name_cron_fields, read_cron, render_cron
from ojs_grpc.core import cron_entry
from ojs_grpc.core.duration import duration_ms, to_timestamp
from ojs_grpc.core.envelope import Defaults, EnvelopeReader
from ojs_grpc.errors import InvalidRequest, InvalidRetryPolicy, Violation
from tests.clock import START

BIG = 2**53 + 1


def document(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """An entry as the spec has it."""
    return {"name": "report", "cron": "0 * * * *", "type": "report.make", "args": [1], **members}


def templated(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The same as the official suite has it."""
    job = {"type": "report.make", "args": [1]}
    return {"name": "report", "expression": "0 * * * *", "job_template": job, **members}


def fields(request: dict[str, Any]) -> list[str]:
    """The fields that are wrong."""
    with pytest.raises(InvalidRequest) as caught:
        read_cron(request, START)
    return [field for field, _ in caught.value.violations]


def kept(request: dict[str, Any]) -> CronEntry:
    """What becomes of a request, before it is planned."""
    return cron_entry.read_entry(read_cron(request, START), EnvelopeReader(Defaults()), START)


@pytest.mark.parametrize("form", [document, templated])
def test_both_forms_say_the_same(form: Any) -> None:  # noqa: ANN401
    """The names differ, and where the job stands."""
    request = read_cron(form(timezone="Europe/Berlin", overlap_policy="allow", enabled=False, description="d"), START)

    expected = RegisterCronRequest(
        name="report",
        cron="0 * * * *",
        type="report.make",
        timezone="Europe/Berlin",
        overlap_policy="allow",
        enabled=False,
        description="d",
    )
    expected.args.add().number_value = 1
    assert request == expected


def test_what_is_left_out() -> None:
    """Is for the engine to fill in."""
    request = read_cron(document(), START)

    assert not request.HasField("enabled")
    assert not request.HasField("options")
    assert (request.timezone, request.overlap_policy) == ("", "")


@pytest.mark.parametrize("place", ["beside", "within"])
def test_the_options_of_the_jobs(place: str) -> None:
    """May stand in the template or beside it; the template wins."""
    options = {"queue": "reports", "priority": 5}
    request = templated()
    if place == "beside":
        request |= {"options": options, "meta": {"team": "blue"}}
    else:
        request["job_template"] |= {"options": options, "meta": {"team": "blue"}}
        request["options"] = {"queue": "other"}

    read = read_cron(request, START)

    assert (read.options.queue, read.options.priority, dict(read.options.meta)) == ("reports", 5, {"team": "blue"})


def test_flat_options() -> None:
    """As at an enqueue."""
    assert read_cron(document(queue="reports"), START).options.queue == "reports"


def test_an_alias_of_a_policy() -> None:
    """`cancel` is `cancel_previous`; what is no policy is for the engine to refuse."""
    assert read_cron(document(overlap_policy="cancel"), START).overlap_policy == "cancel_previous"
    assert read_cron(document(overlap_policy="CANCEL"), START).overlap_policy == "CANCEL"


def test_a_time_to_live_stays_one() -> None:
    """It counts from each run, and not from the registration."""
    read = read_cron(document(options={"expires_at": "+PT5M"}), START)

    assert duration_ms(read.options.ttl) == 300_000
    assert not read.options.HasField("expires_at")


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        ({}, ["name", "cron", "type", "args"]),
        (document(name=7), ["name"]),
        (document(cron=None), ["cron"]),
        (document(cron=["*"]), ["cron"]),
        (templated(expression=5), ["expression"]),
        (document(timezone=1), ["timezone"]),
        (document(enabled="yes"), ["enabled"]),
        (document(description={}), ["description"]),
        (document(overlap_policy=True), ["overlap_policy"]),
        (document(args="x"), ["args"]),
        (document(name=1, type=1), ["name", "type"]),
        (templated(job_template=[]), ["job_template", "type", "args"]),
        (templated(job_template={"args": []}), ["job_template.type"]),
        (templated(job_template={"type": "x", "args": [], "options": {"queue": 1}}), ["job_template.options.queue"]),
    ],
)
def test_what_is_refused(request_: dict[str, Any], wrong: list[str]) -> None:
    """Every broken rule is named, where the client wrote it."""
    assert sorted(fields(request_)) == sorted(wrong)


def test_what_stands_beside_the_template() -> None:
    """It is named there, whoever finds what is wrong with it."""
    request = templated(job_template={"type": "x"}, options={"priority": "x", "retry_policy": {}}, queue="Q")
    error = InvalidRetryPolicy([Violation("options.retry.max_interval", "rule")])

    assert fields(request) == ["options.priority", "queue"]
    assert name_cron_fields(error, request).violations[0].field == "options.retry_policy.max_interval"


def test_null_in_a_template() -> None:
    """Null is absent."""
    template = {"type": "x", "args": None, "options": None}

    read = read_cron(templated(job_template=template, options={"queue": "q"}), START)

    assert (read.type, list(read.args), read.options.queue) == ("x", [], "q")


def test_attributes_of_the_job_that_have_names_of_the_entry() -> None:
    """They are shown with the job alone."""
    rendered = render_cron(kept(templated(job_template={"type": "x", "args": [], "description": "of the job"})))

    assert rendered["job_template"]["description"] == "of the job"
    assert "description" not in rendered


def test_a_bad_retry_policy_keeps_its_kind() -> None:
    """As at an enqueue."""
    with pytest.raises(InvalidRetryPolicy):
        read_cron(document(options={"retry": {"max_attempts": "x"}}), START)


def test_what_the_engine_refuses_is_named_as_written() -> None:
    """The expression by its name, and what is of the job by where the job stands."""
    found = [(field, "rule") for field in ("cron", "timezone", "type", "args[0]", "options.queue")]
    error = InvalidRetryPolicy([Violation(*each) for each in found], {"a": "b"})

    plain = name_cron_fields(error, document())
    named = name_cron_fields(error, templated())

    assert [field for field, _ in plain.violations] == [field for field, _ in found]
    assert [field for field, _ in named.violations] == [
        "expression",
        "timezone",
        "job_template.type",
        "job_template.args[0]",
        "job_template.options.queue",
    ]
    assert type(named) is InvalidRetryPolicy
    assert named.details == {"a": "b"}


def test_the_answer() -> None:
    """Has both forms at once, and what the server adds."""
    meta = Struct()
    meta["team"] = "blue"
    entry = CronEntry(
        name="report",
        cron="0 * * * *",
        timezone="UTC",
        type="report.make",
        options=EnqueueOptions(queue="reports", meta=meta),
        overlap_policy="skip",
        enabled=True,
        description="every hour",
        run_count=3,
        next_run_at=to_timestamp(START),
        created_at=to_timestamp(START - 1),
    )

    rendered = render_cron(entry)

    job = {"type": "report.make", "args": [], "meta": {"team": "blue"}, "options": {"queue": "reports"}}
    assert rendered == {
        **job,
        "name": "report",
        "expression": "0 * * * *",
        "cron": "0 * * * *",
        "timezone": "UTC",
        "job_template": job,
        "overlap_policy": "skip",
        "enabled": True,
        "status": "active",
        "description": "every hour",
        "run_count": 3,
        "next_run_at": "2025-06-15T15:06:40.000Z",
        "last_run_at": None,
        "created_at": "2025-06-15T15:06:39.999Z",
    }


def test_a_disabled_entry() -> None:
    """Has no next run."""
    rendered = render_cron(CronEntry(name="a", last_run_at=to_timestamp(START)))

    assert (rendered["enabled"], rendered["status"], rendered["next_run_at"]) == (False, "disabled", None)
    assert rendered["last_run_at"] == "2025-06-15T15:06:40.000Z"
    assert "description" not in rendered


def test_nothing_is_lost() -> None:
    """What protobuf cannot say comes back as it was sent, and what comes back may be sent again."""
    request = document(
        args=[BIG, 1.5, {"deep": [BIG]}],
        meta={"team": "blue"},
        schema="urn:x",
        x_unknown={"a": [1]},
        options={"retry": {"max_attempts": 5, "initial_interval": "PT90S"}, "x_option": BIG},
    )

    rendered = render_cron(kept(request))

    for name in ("args", "meta", "schema", "x_unknown", "options"):
        assert rendered[name] == rendered["job_template"][name] == request[name]
    again = render_cron(kept(rendered))
    assert again == rendered
