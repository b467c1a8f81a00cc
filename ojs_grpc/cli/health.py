"""`ojs-grpc health`: a probe for containers and scripts."""

import os
import sys
from argparse import Namespace
from typing import Any

from ojs_grpc.config import split_address

_ADDRESS = "127.0.0.1:9090"
_VARIABLE = "OJS_GRPC_GRPC"
# What a server listens on and nobody can be reached at.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - to be replaced


def register(commands: Any) -> None:  # noqa: ANN401 - argparse does not name this type
    """Adds the command."""
    parser = commands.add_parser(
        "health",
        help="ask a server whether it works",
        description="Ask a server by grpc.health.v1. The exit status is 0 if it serves, 1 if not, 2 for a bad flag.",
        allow_abbrev=False,
    )
    parser.add_argument("--grpc", metavar="HOST:PORT", help=f"address of the server [{_ADDRESS}; {_VARIABLE}]")
    parser.add_argument(
        "--timeout-seconds", type=float, default=5.0, metavar="X", help="how long it may take to answer [5]"
    )
    parser.set_defaults(run=run)


def run(flags: Namespace) -> int:
    """Prints the state and returns 0 for SERVING.

    Raises:
        ValueError: no address, or no time to wait.
    """
    address = flags.grpc or os.environ.get(_VARIABLE) or _ADDRESS
    try:
        host, port = split_address(address)
    except ValueError as error:
        raise ValueError(f"--grpc={address}: {error}") from None
    if not 0 < flags.timeout_seconds < float("inf"):
        raise ValueError(f"--timeout-seconds={flags.timeout_seconds:g}: must be a positive number")
    problem = _ask(f"{_WILDCARDS[host]}:{port}" if host in _WILDCARDS else address, flags.timeout_seconds)
    if problem:
        print(f"{address}: {problem}", file=sys.stderr)
        return 1
    print(f"{address}: SERVING")
    return 0


def _ask(address: str, timeout_seconds: float) -> str:
    """Why the server does not serve; empty if it does."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # A proxy for the way out to the internet, which containers often have set, is not for this.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]  # made when it is created
                health_pb2.HealthCheckRequest(service="ojs.v1.OJSService"), timeout=timeout_seconds
            )
        except grpc.RpcError as error:
            return f"{error.code().name}: {' '.join((error.details() or '').split())}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
