"""`python -m ojs_grpc` is `ojs-grpc`."""

import sys

from ojs_grpc.cli.main import main

sys.exit(main())
