"""The command line: `ojs-grpc COMMAND`. One file a command; each imports what it needs when it runs."""

import argparse
import sys

from ojs_grpc import __version__
from ojs_grpc.cli import demo, health, serve

_COMMANDS = (serve, health, demo)


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; its exit status: 0 fine, 1 it did not work, 2 the command line or a setting is wrong."""
    parser = argparse.ArgumentParser(
        prog="ojs-grpc", description="A job service that speaks the Open Job Spec over gRPC."
    )
    parser.add_argument("--version", action="version", version=f"ojs-grpc {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.register(commands)
    flags = parser.parse_args(arguments)
    try:
        return int(flags.run(flags))
    except ValueError as error:
        print(f"ojs-grpc: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
