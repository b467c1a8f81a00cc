"""The address to listen on: whether it is free, and keeping it while processes come and go."""

import errno
import socket

from ojs_grpc.config import split_address


def check_free(address: str) -> None:
    """Returns if somebody may listen there.

    gRPC reports a failure without its cause, and where ports are shared it would join strangers without a word.

    Raises:
        OSError: with the address and the cause.
    """
    _bind(address, socket.SO_REUSEADDR).close()


def reserve(address: str) -> tuple[socket.socket, str]:
    """Binds the address without listening, for processes that share it; the address with its port as a number.

    It stays ours until the socket is closed, even while no process listens.

    Raises:
        OSError: with the address and the cause.
    """
    reservation = _bind(address, socket.SO_REUSEPORT)
    host = address.rpartition(":")[0]
    return reservation, f"{host}:{reservation.getsockname()[1]}"


def _bind(address: str, option: int) -> socket.socket:
    """A socket bound to the first of the host's addresses that this machine has."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror}") from None
    problem = ""
    for family, kind, protocol, _, target in found:
        try:
            bound = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here
            problem = problem or str(error.strerror)
            continue
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            bound.bind(target)
        except OSError as error:
            bound.close()
            problem = str(error.strerror)
            if error.errno == errno.EADDRINUSE:
                break
        else:
            return bound
    raise OSError(f"cannot listen on {address}: {problem}")
