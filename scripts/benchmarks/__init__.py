"""What `scripts/bench.py` is made of; every figure is taken beside a bare grpcio server in the same run.

command.py     the command line: options, order of the rows, exit code
session.py     what every row has at hand; its start and end
rows/          one file per kind of row
meter.py       measured windows, taken in turns, and the figures made of them
payload.py     the requests that the load sends
load.py        the load generators: processes of their own, commanded over a pipe
calls.py       what a load generator can do
clients.py     the two gRPC clients that the load can use
http2.py       the cheaper one
http1.py       the client for HTTP
bare.py        the bare grpcio server that the service is compared with
bare_http.py   the bare HTTP server, likewise
processes.py   starting and stopping servers, their CPU time
stores.py      what `--store` means: given, private or temporary; CPU, calls and memory of the store
bounds.py      the figures to reach
report.py      tables and JSON
"""
