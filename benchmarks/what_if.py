"""What-if: seconds a scenario, and the memory it takes, as the store grows.

    python benchmarks/what_if.py [--millions 1,5] [--work FOLDER]

Stores hold simulated requests of a shop (14 spans each, flags, users), as in `traces.py`. Each scenario is asked of a
store that was just opened, in a process of its own for each store, once before the clock runs (the file is then in the
machine's cache) and three times with it; the best counts. MiB is that process's peak after all of its questions: some
partitions of 300,000 spans, a line a trace, and what DuckDB and the allocator keep from one question to the next.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from traces import sample

import traceguard

GOAL_SECONDS = 3.0
SLO = "POST /checkout: p99<800ms"
SCENARIOS: dict[str, dict[str, Any]] = {
    "constant delay": {"service": "pricing", "delay": "50ms"},
    "distribution": {"service": "pricing", "delay": "lognormal(40ms,0.5)", "exposure": "5%"},
    "errors": {"service": "catalog", "error_rate": "1%"},
    "delay and errors": {"service": "catalog", "delay": "50ms", "error_rate": "1%", "exposure": "5%", "slo": SLO},
    "flag": {"flag": "new-pricing", "exposure": "90%", "slo": SLO},
    "largest delay": {"service": "pricing", "slo": SLO, "largest": "delay"},
    "largest exposure": {"service": "pricing", "delay": "500ms", "slo": SLO, "largest": "exposure"},
}


def main() -> int:
    """Build the stores, measure each, print; 1 if a million spans take longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help="not used")
    parser.add_argument("--millions", default="1,5", help="sizes of the simulated stores")
    parser.add_argument("--work", type=Path, help="folder for the stores, kept (default: a temporary one)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure)))
        return 0
    slow = False
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        print(f"{'spans':>11}", *(f"{name:>17}" for name in SCENARIOS), f"{'MiB':>7}")
        for text in given.millions.split(","):
            command = [sys.executable, __file__, "--measure", str(sample(work / f"{text}.duckdb", float(text)))]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            seconds = found["seconds"]
            print(
                f"{found['spans']:>11,}", *(f"{seconds[name]:>15.2f} s" for name in SCENARIOS), f"{found['mib']:>7.0f}"
            )
            slow |= found["spans"] < 1.5e6 and max(seconds.values()) > GOAL_SECONDS
    if slow:
        print(f"missed: a scenario on a million spans took longer than {GOAL_SECONDS:g} s")
    return int(slow)


def measured(path: Path) -> dict[str, Any]:
    """Seconds by scenario, the store's spans, and the peak memory."""
    seconds = {}
    for name, scenario in SCENARIOS.items():
        runs = []
        for _ in range(4):
            begin = time.perf_counter()
            with traceguard.open(path) as store:
                traceguard.what_if(store, **scenario)
            runs.append(time.perf_counter() - begin)
        seconds[name] = min(runs[1:])
    with traceguard.open(path) as store:
        spans = traceguard.query(store, "totals")["spans"][0]
    return {"seconds": seconds, "spans": spans, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    sys.exit(main())
