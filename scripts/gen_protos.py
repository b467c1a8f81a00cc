#!/usr/bin/env python3
"""Writes the Python stubs of `proto/` into `generated/ojs_grpc_pb/`.

protoc derives import paths from the paths of the .proto files. That would claim the package name `ojs`, which belongs
to the official SDK. So protoc writes into a temporary folder, and what it wrote moves to `ojs_grpc_pb`: its imports,
and the module names that messages carry for pickling.

    scripts/gen_protos.py            write the stubs
    scripts/gen_protos.py --check    compare only; exit 1 and name the files that differ
"""

import argparse
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = ROOT / "generated" / "ojs_grpc_pb"

PACKAGE_DOC = '"""Stubs of the protobuf packages. Written by scripts/gen_protos.py; do not edit."""\n'
IMPORT = re.compile(r"^(from |import )ojs\.", re.MULTILINE)
MODULE_NAME = re.compile(r"(['\"])ojs\.([\w.]+_pb2)\1")
LEFTOVER = re.compile(r"^\s*(?:from|import)\s+ojs[.\s].*|['\"]ojs\.[\w.]+_pb2.*", re.MULTILINE)
SERVICE = re.compile(r"^service ", re.MULTILINE)

Files = dict[Path, str]
"""Texts by path, relative to `STUBS`."""


def main() -> int:
    """Writes or compares; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the Python stubs of proto/.")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when the committed stubs differ")
    check = parser.parse_args().check
    expected, present = generate(), read(STUBS)
    changed = sorted(path for path in expected.keys() | present.keys() if expected.get(path) != present.get(path))
    if not check:
        write(expected, stale=present.keys() - expected.keys())
        return 0
    for path in changed:
        print(f"differs from proto/: {(STUBS / path).relative_to(ROOT)}", file=sys.stderr)
    if changed:
        print("run scripts/gen_protos.py", file=sys.stderr)
    return 1 if changed else 0


def generate() -> Files:
    """Runs protoc over everything in `proto/`; returns the stubs as they should be."""
    protos = sorted(PROTO.rglob("*.proto"))
    services = [proto for proto in protos if SERVICE.search(proto.read_text())]
    with tempfile.TemporaryDirectory() as folder:
        run_protoc(protos, [f"--python_out={folder}", f"--mypy_out=quiet:{folder}"])
        run_protoc(services, [f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}"])
        stubs = {path: move(path, text) for path, text in read(Path(folder) / "ojs").items()}
    packages = {parent for path in stubs for parent in path.parents}
    return stubs | {package / "__init__.py": PACKAGE_DOC for package in packages} | {Path("py.typed"): ""}


def run_protoc(protos: Sequence[Path], outputs: Sequence[str]) -> None:
    """Runs the pinned protoc with the plugins of this Python's environment; its errors end the script."""
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *plugins, *outputs, *map(str, protos)]
    if subprocess.run(command, check=False).returncode:
        sys.exit("protoc failed")


def move(path: Path, text: str) -> str:
    """Returns a stub's text with `ojs` replaced by `ojs_grpc_pb` wherever it names a Python module."""
    moved = MODULE_NAME.sub(r"\1ojs_grpc_pb.\2\1", IMPORT.sub(r"\1ojs_grpc_pb.", text))
    if leftover := LEFTOVER.search(moved):
        sys.exit(f"{path}: still names a module of `ojs`: {leftover[0].strip()}")
    return moved


def read(folder: Path) -> Files:
    """Returns every file below a folder, byte code aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder): path.read_text() for path in files}


def write(files: Files, stale: set[Path]) -> None:
    """Makes `STUBS` hold exactly these files."""
    for path in stale:
        (STUBS / path).unlink()
    for path, text in files.items():
        (STUBS / path).parent.mkdir(parents=True, exist_ok=True)
        (STUBS / path).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
