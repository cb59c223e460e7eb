"""What a server does with more than it can take, on a full disk, and at its first start.

    python benchmarks/overload.py [--seconds 20] [--no-cold]

A cold start compiles all loops. A flood comes from three processes over HTTP and gRPC, a fifth of the requests with
bodies of 9 to 62 MiB, with bombs among them, and nobody waits after a refusal. Then the disk is full for a while (a
limit on the size of files) under the same flood. At the end everything acknowledged is looked for in the store.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MIB = 2**20
STARVED_SECONDS = 8.0


def goal(what: str, value: float, unit: str, limit: float) -> bool:
    """Print a figure beside its goal; whether it is met."""
    met = value < limit
    print(f"  {what:<46} {value:>10,.1f} {unit:<4} goal < {limit:,.0f}{'' if met else '   MISSED'}", flush=True)
    return met


def cold_start(serving: Any, folder: Path) -> bool:
    """Seconds until a server with an empty cache listens."""
    cache = folder / "cache"
    server = serving(folder / "cold.duckdb", env=os.environ | {"XDG_CACHE_HOME": str(cache)})
    met = goal("ready with cold compilation", server.start_seconds, "s", 60)
    server.end()
    server = serving(folder / "cold.duckdb", env=os.environ | {"XDG_CACHE_HOME": str(cache)})
    goal("ready from then on", server.start_seconds, "s", 60)
    server.end()
    return met


def tell(seen: Any, seconds: float) -> None:
    """What the senders saw."""
    print(f"  answers: {', '.join(f'{times:,} {kind}' for kind, times in sorted(seen.answers.items()))}")
    print(
        f"  offered {seen.offered_bytes / MIB / seconds:,.0f} MiB/s, acknowledged"
        f" {seen.acknowledged_bytes / MIB / seconds:,.0f} MiB/s ="
        f" {sum(seen.acknowledged.values()) / seconds:,.0f} spans/s;"
        f" {seen.refused:.0%} of requests were told to come again"
    )
    for kind, waits in sorted(seen.waits.items()):
        ordered = sorted(waits)
        print(f"    {kind:<16} p50 {ordered[len(ordered) // 2]:6.2f} s, slowest {ordered[-1]:6.2f} s")
    for line in sorted(set(seen.wrong))[:10]:
        print(f"  WRONG: {line} ({seen.wrong.count(line)} times)")


def main() -> int:
    """All of it; 1 if a goal is missed."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from builders import flood
    from builders.ordeal import Serving

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help="not used; every benchmark gets it")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-cold", action="store_true", help="leave out the start with an empty cache")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, met = Path(name), []
        print(f"{os.cpu_count()} CPUs, shared by the server and its clients")
        if not given.no_cold:
            met.append(cold_start(Serving, folder))
        server = Serving(folder / "live.duckdb")
        print(f"flood of {given.seconds:.0f} s")
        seen = flood.flood(server.http, server.grpc, seconds=given.seconds)
        tell(seen, given.seconds)
        met.append(goal("peak memory of the server", server.peak_bytes / MIB, "MiB", 2048))
        met.append(goal("slowest answer", seen.slowest, "s", 10))
        met.append(goal("answers that were wrong or never came", len(seen.wrong), "", 1))
        print(f"flood with a full disk for {STARVED_SECONDS:.0f} s")
        starved: list[Any] = []
        flooding = threading.Thread(
            target=lambda: starved.append(
                flood.flood(server.http, server.grpc, seconds=STARVED_SECONDS + 15, huge=False, first=1000)
            )
        )
        flooding.start()
        time.sleep(6)
        server.limit_files(4096)
        time.sleep(STARVED_SECONDS)
        ready = server.ask("/readyz")
        server.limit_files(None)
        lifted = time.monotonic()
        while server.ask("/readyz") != 200 and time.monotonic() - lifted < 120:
            time.sleep(0.05)
        met.append(goal("service resumes after", time.monotonic() - lifted, "s", 60))
        flooding.join()
        tell(starved[0], STARVED_SECONDS + 15)
        print(f"  /readyz said {ready} while the disk was full")
        met.append(goal("slowest answer", starved[0].slowest, "s", 10))
        met.append(goal("answers that were wrong or never came", len(starved[0].wrong), "", 1))
        met.append(goal("peak memory of the server", server.peak_bytes / MIB, "MiB", 2048))
        begin = time.monotonic()
        print(f"stopped with {server.end(15, 120)} after {time.monotonic() - begin:.1f} s")
        missing = flood.lost(server.path, seen.acknowledged | starved[0].acknowledged)
        met.append(goal("acknowledged requests that are not there", missing, "", 1))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
