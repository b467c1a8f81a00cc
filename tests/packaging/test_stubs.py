"""The generated stubs, and the rules that the contract keeps."""

import pickle
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import ojs_grpc_pb.v1
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from ojs_grpc_pb.v1 import job_pb2, service_pb2

from scripts import gen_protos

RPCS = [
    *("Manifest", "Health"),
    *("Enqueue", "EnqueueBatch", "GetJob", "CancelJob", "ActivateJob"),
    *("Fetch", "Ack", "Nack", "Heartbeat", "StreamJobs", "StreamEvents"),
    *("ListQueues", "QueueStats", "PauseQueue", "ResumeQueue"),
    *("ListDeadLetter", "RetryDeadLetter", "DeleteDeadLetter"),
    *("RegisterCron", "UnregisterCron", "ListCron"),
    *("CreateWorkflow", "GetWorkflow", "CancelWorkflow"),
]


def messages() -> Iterator[Descriptor]:
    """Yields every message of the package."""
    for module in pkgutil.iter_modules(ojs_grpc_pb.v1.__path__, "ojs_grpc_pb.v1."):
        if not module.name.endswith("_grpc"):
            yield from import_module(module.name).DESCRIPTOR.message_types_by_name.values()


def check(script: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `gen_protos.py --check`."""
    return subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)


def test_committed_stubs_are_the_ones_that_protoc_writes() -> None:
    """A changed .proto file without new stubs, or a stub edited by hand, fails here."""
    result = check(gen_protos.__file__)

    assert (result.returncode, result.stderr) == (0, "")


def test_check_names_each_file_that_differs(tmp_path: Path) -> None:
    """A stub that is edited, left over or missing is named, and the exit status is 1."""
    for folder in ("proto", "generated"):
        shutil.copytree(gen_protos.ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "gen_protos.py"
    shutil.copy(gen_protos.__file__, script)
    stubs = tmp_path / "generated" / "ojs_grpc_pb" / "v1"
    (stubs / "job_pb2.py").write_text("edited")
    (stubs / "old_pb2.py").write_text("left over")
    (stubs / "events_pb2.pyi").unlink()

    result = check(script)

    assert result.returncode == 1
    named = [line.rsplit("/", 1)[1] for line in result.stderr.splitlines() if line.startswith("differs")]
    assert named == ["events_pb2.pyi", "job_pb2.py", "old_pb2.py"]


@pytest.mark.parametrize("line", ["from ojs import v1", "    import ojs.v1.job_pb2", "name = 'ojs.v1.job_pb2.Job'"])
def test_a_leftover_import_of_the_official_package_stops_the_generator(line: str) -> None:
    """What the rewriting does not know must not pass: it would import somebody else's `ojs`."""
    with pytest.raises(SystemExit, match="still names a module of `ojs`"):
        gen_protos.move(Path("x_pb2.py"), f"import sys\n{line}\n")


@pytest.mark.parametrize("message", [GetMessageClass(message) for message in messages()], ids=lambda cls: cls.__name__)
def test_messages_pickle(message: type[Message]) -> None:
    """A message comes back from pickle as the same class, although protoc gave it another module name."""
    copy = pickle.loads(pickle.dumps(message()))

    assert type(copy) is message


def test_the_service_has_exactly_its_26_rpcs() -> None:
    """The canonical service gets no other RPC: what is ours goes into a second package."""
    (service,) = service_pb2.DESCRIPTOR.services_by_name.values()

    assert service.full_name == "ojs.v1.OJSService"
    assert [method.name for method in service.methods] == RPCS
    assert len(RPCS) == 26
    assert [method.name for method in service.methods if method.server_streaming] == ["StreamJobs", "StreamEvents"]
    assert not any(method.client_streaming for method in service.methods)


def test_our_own_fields_take_the_numbers_from_1000_to_1099() -> None:
    """Other numbers may get a meaning upstream, or have one in protobuf."""
    ours = [field for message in messages() for field in message.fields if field.number >= 1000]

    assert ours
    assert [field.full_name for field in ours if field.number > 1099] == []


@pytest.mark.parametrize(
    "field",
    [
        job_pb2.RetryPolicy.DESCRIPTOR.fields_by_name["max_attempts"],
        job_pb2.RetryPolicy.DESCRIPTOR.fields_by_name["jitter"],
        job_pb2.JobError.DESCRIPTOR.fields_by_name["retryable"],
    ],
    ids=lambda field: field.full_name,
)
def test_absent_differs_from_zero_where_it_matters(field: FieldDescriptor) -> None:
    """Without presence, a retryable failure could not be told from one that says nothing."""
    assert field.has_presence
