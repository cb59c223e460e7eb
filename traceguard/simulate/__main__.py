"""`python -m traceguard.simulate sample OUT_DIR` remakes the sample: ten minutes of the shop, always the same bytes."""

import argparse
import sys
from pathlib import Path

from traceguard.simulate.files import write
from traceguard.simulate.generate import generate
from traceguard.simulate.shop import shop

SAMPLE_START_NS = 1_777_888_800_000_000_000  # 2026-05-04T10:00:00Z
SAMPLE_DURATION_NS = 600 * 1_000_000_000
SAMPLE_REQUESTS = 700
SAMPLE_SEED = 2026


def main(arguments: list[str]) -> int:
    """Write the sample and say what it is."""
    parser = argparse.ArgumentParser(prog="python -m traceguard.simulate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sample", help="remake sample_data").add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    recording = generate(
        shop(users=150),
        requests=SAMPLE_REQUESTS,
        seed=SAMPLE_SEED,
        start_ns=SAMPLE_START_NS,
        duration_ns=SAMPLE_DURATION_NS,
    )
    written = write(recording, folder)
    total = sum(path.stat().st_size for path in written)
    names = ", ".join(path.name for path in written)
    sys.stderr.write(
        f"{folder}: {names}; {SAMPLE_REQUESTS} requests, {recording.span_count} spans, {total / 1000:.0f} kB\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
