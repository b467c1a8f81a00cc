"""The documents say what the code does, where that can be compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from ojs_grpc_pb.v1 import events_pb2, job_pb2, queue_pb2, service_pb2, worker_pb2, workflow_pb2

from ojs_grpc import errors
from ojs_grpc.bindings.grpc.status import CODES
from ojs_grpc.bindings.http import status as http_status

ROOT = Path(__file__).parents[2]


def kinds(error: type[errors.OJSError]) -> Iterator[type[errors.OJSError]]:
    """An error and all that are special cases of it."""
    yield error
    for special in error.__subclasses__():
        yield from kinds(special)


def test_the_table_of_errors_is_complete() -> None:
    """docs/grpc.md names each status with each reason that it comes with, and no other."""
    table = (ROOT / "docs" / "grpc.md").read_text().split("## Errors")[1].split("## Jobs")[0]
    documented = set(re.findall(r"^\| ([A-Z_]+) \| `(\w+)` \|", table, re.MULTILINE))
    expected = {
        (next(CODES[base] for base in kind.__mro__ if base in CODES).name, kind.code)
        for kind in kinds(errors.OJSError)
        if kind.__module__ == errors.__name__
    }
    assert documented == expected


def test_the_table_of_http_errors_is_complete() -> None:
    """docs/http.md names each status with each code that it comes with, and no other."""
    table = (ROOT / "docs" / "http.md").read_text().split("## Errors")[1].split("## For operators")[0]
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", table, re.MULTILINE)
    documented = {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    expected = set()
    for kind in kinds(errors.OJSError):
        entry = next(http_status.ENTRIES[base] for base in kind.__mro__ if base in http_status.ENTRIES)
        expected.add((entry.status, entry.code or kind.code))
    # Of what is too large, `meta` has a name of its own.
    assert documented == {*expected, (413, "metadata_too_large")}


def test_the_table_of_our_fields_is_complete() -> None:
    """docs/grpc.md lists every field from 1000 up; paste the table from the failure when one is added."""
    files = (job_pb2, worker_pb2, queue_pb2, events_pb2, workflow_pb2, service_pb2)
    messages: list[Descriptor] = [
        message for module in files for message in module.DESCRIPTOR.message_types_by_name.values()
    ]
    rows = []
    for message in messages:
        ours = [f"`{field.name}` {field.number}" for field in message.fields if field.number >= 1000]
        if ours:
            rows.append(f"| {message.name} | {', '.join(ours)} |")
    table = "\n".join(rows)
    assert table in (ROOT / "docs" / "grpc.md").read_text(), f"docs/grpc.md should contain:\n{table}"


def test_the_readme_lists_every_operation() -> None:
    """Each RPC stands in the table."""
    table = (ROOT / "README.md").read_text().split("## Operations")[1].split("## Delivery")[0]
    for method in service_pb2.DESCRIPTOR.services_by_name["OJSService"].methods:
        assert re.search(rf"\b{method.name}\b", table), method.name


def test_the_readme_is_short() -> None:
    """What is longer goes to docs/."""
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/grpc.md", "docs/operations.md"])
def test_links_lead_somewhere(document: str) -> None:
    """Files move."""
    path = ROOT / document
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target
