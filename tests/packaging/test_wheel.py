"""What a user installs."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from ojs_grpc import __version__

ROOT = Path(__file__).parents[2]
INFO = f"ojs_grpc-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of this tree, built by the backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return ZipFile(path)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["ojs_grpc", "generated/ojs_grpc_pb"])
def test_the_wheel_has_every_file_of_the_package(wheel: ZipFile, package: str) -> None:
    """Stubs, py.typed and files that are not Python are left out silently when a build rule misses them."""
    folder = ROOT / package
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    expected = {path.relative_to(folder.parent).as_posix() for path in files}

    assert f"{folder.name}/py.typed" in expected
    assert expected - set(wheel.namelist()) == set()


@pytest.mark.slow
def test_the_wheel_claims_no_other_name(wheel: ZipFile) -> None:
    """The import name `ojs` belongs to the official SDK; tests and scripts are not installed."""
    assert {name.split("/")[0] for name in wheel.namelist()} == {"ojs_grpc", "ojs_grpc_pb", INFO}


@pytest.mark.slow
def test_the_wheel_has_the_command_and_the_license(wheel: ZipFile) -> None:
    """The command is what the README tells people to run."""
    assert "ojs-grpc = ojs_grpc.cli.main:main" in wheel.read(f"{INFO}/entry_points.txt").decode()
    assert f"{INFO}/licenses/LICENSE" in wheel.namelist()
