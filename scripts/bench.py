#!/usr/bin/env python3
"""Measures the service: `scripts/bench.py --store memory|sqlite|redis|URL [--json FILE] [--quick] [--rows a,b]`.

Starts the server and, beside it, a bare grpcio server that moves the same bytes; loads both in turns from other
processes; prints rates, CPU per job, ratios, and the bounds. What each row means stands in `benchmarks/rows/`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The load generators import this file again, so the paths are set for them too.
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT), str(ROOT / "generated")]

if __name__ == "__main__":
    from benchmarks.command import main

    sys.exit(main())
