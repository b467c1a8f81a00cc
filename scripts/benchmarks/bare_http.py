"""The limit over HTTP: a Starlette route on uvicorn that moves the same bytes as the service and does nothing else.

    POST /bare/<SIZE>   any request -> SIZE bytes

Run as `python -m benchmarks.bare_http --http HOST:PORT`. The settings are those a plain service would have: uvloop and
httptools, one process, one event loop, no middleware, no access log.
"""

import argparse

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PATH = "/bare/"


async def answer(request: Request) -> Response:
    """Reads the body and answers as many bytes as the path says."""
    await request.body()
    reply = b"x" * int(request.path_params["size"])
    return Response(reply, 201, media_type="application/openjobspec+json")


def main() -> None:
    """Serves at the address given on the command line."""
    parser = argparse.ArgumentParser(description="A bare HTTP server to compare with.")
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    host, _, port = parser.parse_args().http.rpartition(":")
    app = Starlette(routes=[Route(PATH + "{size:int}", answer, methods=["POST"])])
    uvicorn.run(app, host=host, port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
