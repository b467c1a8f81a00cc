"""`ojs-grpc serve`: runs the server."""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from ojs_grpc import config

_DESCRIPTION = """\
Run the server. Every setting is a flag or an environment variable; in brackets, its default and its variable.
SIGTERM or SIGINT drains and stops; a second one stops at once."""


def register(commands: Any) -> None:  # noqa: ANN401 - argparse does not name this type
    """Adds the command."""
    parser = commands.add_parser("serve", help="run the server", description=_DESCRIPTION, allow_abbrev=False)
    config.add_flags(parser)
    parser.set_defaults(run=run)


def run(flags: Namespace) -> int:
    """Serves until told to stop; 1 if it cannot start."""
    settings = config.read(flags)
    from ojs_grpc.cli.address import check_free
    from ojs_grpc.cli.logs import configure_logs
    from ojs_grpc.cli.processes import run_processes

    configure_logs(settings.log_format, settings.log_level)
    try:
        for address in settings.addresses().values():
            check_free(address)
        if settings.processes > 1:
            return run_processes(settings)
    except OSError as error:
        return _cannot_start(error)
    return serve(settings)


def serve(
    settings: config.Config,
    *,
    share_port: bool = False,
    stop_on: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> int:
    """Serves in this process until it gets one of these signals; 1 if it cannot start.

    Raises:
        ValueError: there is no such store, or it is set up in a way that would lose jobs.
    """
    # What gRPC's C core writes by itself is no log event. Whoever looks for a problem in it sets the variable.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Here and not above: the parent of several processes must never create a grpc object, which no child survives.
    import uvloop

    from ojs_grpc import server
    from ojs_grpc.errors import OJSError

    try:
        uvloop.run(server.serve(settings, share_port=share_port, stop_on=stop_on))
    except (OJSError, OSError) as error:
        return _cannot_start(error)
    return 0


def _cannot_start(error: Exception) -> int:
    print(f"ojs-grpc: cannot start: {' '.join(str(error).split())}", file=sys.stderr)
    return 1
