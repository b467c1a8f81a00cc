"""`ojs-grpc demo`: a server, a producer and workers in one process, some thousand jobs, and a table of what happened.

What the jobs are is in `plan`, who handles them in `producer` and `workers`, what must be true at the end in `checks`.
"""

import os
import sys
from argparse import Namespace
from typing import Any

_JOBS = 2500
_FEWEST, _MOST = 20, 100_000

_DESCRIPTION = """\
Start a server, push jobs of several kinds through a real gRPC channel, and show what became of them and how fast.
Without --store, everything is in a temporary SQLite file. In a store that is given, the demo uses queues of its own;
what it leaves there are finished jobs. The exit status is 1 if the counts do not add up."""


def register(commands: Any) -> None:  # noqa: ANN401 - argparse does not name this type
    """Adds the command."""
    parser = commands.add_parser(
        "demo", help="see it work: some thousand jobs, and what became of them", description=_DESCRIPTION
    )
    parser.add_argument("--store", metavar="URL", help="where to keep the jobs [a temporary SQLite file]")
    parser.add_argument(
        "--jobs", type=int, default=_JOBS, metavar="N", help=f"how many, from {_FEWEST} to {_MOST} [{_JOBS}]"
    )
    parser.set_defaults(run=run)


def run(flags: Namespace) -> int:
    """Plays the demo; 1 if something went wrong, which it says in one line.

    Raises:
        ValueError: a flag is wrong.
    """
    if not _FEWEST <= flags.jobs <= _MOST:
        raise ValueError(f"--jobs={flags.jobs}: must be from {_FEWEST} to {_MOST}")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import uvloop

    from ojs_grpc.cli.demo.play import DemoFailed, play
    from ojs_grpc.cli.logs import configure_logs
    from ojs_grpc.errors import OJSError

    configure_logs("console", "warning")
    try:
        uvloop.run(play(flags.store, flags.jobs))
    except (DemoFailed, OJSError, OSError) as error:
        print(f"ojs-grpc: demo failed: {error}", file=sys.stderr)
        return 1
    return 0
