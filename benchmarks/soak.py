"""Whether everything that was acknowledged survives, for hours.

    python benchmarks/soak.py --minutes 60 [--seed 7] [--senders 6]

A server is killed, stopped, starved of disk and started again, over and over, under load from exporters over HTTP,
gzip and gRPC that repeat what was not acknowledged. Every few rounds, and at the end, the store is counted: each
acknowledged request must be there, whole and exactly once. Every second store gets large requests and longer rounds, so
that checkpoints fall into them; every third keeps its spans for a short time only, so that retention runs amid all
this. Ends with 0, or says what was lost and keeps the store.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROUNDS = 10  # between counts
COUNTS = 6  # of one store, before the next one
KEEP_SECONDS = 20


def main() -> int:
    """Round after round until the time is over."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from builders.ordeal import Ordeal

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help="not used; every benchmark gets it")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--senders", type=int, default=6)
    given = parser.parse_args()
    print(f"seed {given.seed}, for {given.minutes:g} minutes", flush=True)
    chance = random.Random(given.seed)
    begin = time.monotonic()
    befell: Counter[str] = Counter()
    requests = spans = stores = 0
    folder = Path(tempfile.mkdtemp(prefix="soak-"))

    def over() -> bool:
        return time.monotonic() - begin > 60 * given.minutes

    while not over():
        path = folder / str(stores) / "live.duckdb"
        path.parent.mkdir()
        kept = stores % 3 == 1
        options = ("--keep", f"{KEEP_SECONDS}s") if kept else ()
        ordeal = Ordeal(
            path, chance.randrange(2**32), *options, senders=given.senders, heavy=stores % 2 == 1,
            longest=20.0 if stores % 2 == 1 else 1.5, keep_seconds=KEEP_SECONDS - 5 if kept else None,
        )  # fmt: skip
        try:
            for _ in range(COUNTS):
                befell.update(ordeal.round() for _ in range(ROUNDS) if not over())
                ordeal.rest()
                count = ordeal.count()
                print(
                    f"{(time.monotonic() - begin) / 60:6.1f} min: store {stores}{' with retention' if kept else ''},"
                    f" {count.acknowledged:,} requests acknowledged, {count.spans:,} spans in the store,"
                    f" {count.rows - count.spans:,} duplicates dropped, back after a full disk in at most"
                    f" {ordeal.longest_silence:.1f} s",
                    flush=True,
                )
                if count.wrong:
                    print("\n".join(("LOST OR DOUBLED:", *count.wrong, f"The store is kept as {path}.")))
                    return 1
                if over():
                    break
        except AssertionError as failure:
            print(f"THE SERVER FAILED: {failure}\nThe store is kept as {path}.")
            return 1
        finally:
            ordeal.finish()
        requests, spans, stores = requests + count.acknowledged, spans + count.spans, stores + 1
        shutil.rmtree(path.parent)
    shutil.rmtree(folder)
    told = ", ".join(f"{times} times {what}" for what, times in sorted(befell.items()))
    print(f"Nothing was lost or doubled: {requests:,} requests, {spans:,} spans in {stores} stores; {told}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
