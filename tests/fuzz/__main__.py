"""Looks for inputs that the decoder takes wrongly: `PYTHONPATH=tests python -m fuzz --seconds 300`.

The fuzzer itself runs in a second process, so that a crash or an endless loop is a finding as well: what it was
working on is in memory that both share. Ends with 0 when nothing was wrong, else with 1 and a file per finding.
"""

import argparse
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache" / "fuzz"

_STATE = struct.Struct("<QQ")  # inputs begun, size of the current one; its bytes follow
_STATE_SIZE = 2**16
_START_SECONDS, _HANG_SECONDS = 900.0, 60.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="how long to look")
    parser.add_argument("--runs", type=int, help="how many inputs for each target, instead of a time")
    parser.add_argument("--seed", type=int, help="the same seed, corpus and number of runs do the same again")
    parser.add_argument("--corpus", type=Path, default=CACHE / "corpus", help="inputs worth keeping, between runs")
    parser.add_argument("--findings", type=Path, default=CACHE / "findings", help="where wrong ones go")
    parser.add_argument("--target", action="append", help="only this way in (may be repeated)")
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if (given.seconds is None) == (given.runs is None):
        parser.error("name either --seconds or --runs")
    if given.seed is None:
        given.seed = random.randrange(2**32)
    return given


def _work(given: argparse.Namespace) -> int:
    """The second process: compile with counters, then look."""
    from fuzz import instrumented

    instrumented.install(CACHE / "kernels")
    from builders import redact_reference
    from fuzz.campaign import Campaign, pursue, summary
    from fuzz.targets import TARGETS

    os.environ["TRACEGUARD_HASH_KEY"] = redact_reference.KEY
    with given.state.open("r+b") as file:
        state = mmap.mmap(file.fileno(), _STATE_SIZE)
    begun = 0

    def note(body: bytes) -> None:
        nonlocal begun
        begun += 1
        state[_STATE.size : _STATE.size + len(body)] = body
        _STATE.pack_into(state, 0, begun, len(body))

    begin = time.monotonic()
    campaigns = [
        Campaign(target, given.corpus / target.name, given.findings, given.seed, note)
        for target in TARGETS
        if not given.target or target.name in given.target
    ]
    for campaign in campaigns:
        name = campaign.target.name
        campaign.load([HERE / "findings" / name, given.corpus / name])
    pursue(campaigns, runs=given.runs, seconds=given.seconds, tell=lambda line: print(line, flush=True))
    print(summary(campaigns, time.monotonic() - begin), flush=True)
    return 1 if any(campaign.findings for campaign in campaigns) else 0


def _watch(given: argparse.Namespace) -> int:
    """The first process: start the second, and say what it died of."""
    print(f"Fuzzing with seed {given.seed}.", flush=True)
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(_STATE_SIZE)
        state = mmap.mmap(file.fileno(), _STATE_SIZE)
        working = subprocess.Popen(
            [sys.executable, "-m", "fuzz", *sys.argv[1:], "--seed", str(given.seed), "--state", file.name]
        )
        before, since = 0, time.monotonic()
        while working.poll() is None:
            time.sleep(0.1)
            begun, _ = _STATE.unpack_from(state)
            if begun != before:
                before, since = begun, time.monotonic()
            elif time.monotonic() - since > (_HANG_SECONDS if begun else _START_SECONDS):
                working.kill()
                working.wait()
                return _lost(given, state, "did not end")
        if working.returncode < 0:
            return _lost(given, state, f"ended the process with {signal.Signals(-working.returncode).name}")
        return working.returncode


def _lost(given: argparse.Namespace, state: mmap.mmap, how: str) -> int:
    _, size = _STATE.unpack_from(state)
    body = state[_STATE.size : _STATE.size + size]
    given.findings.mkdir(parents=True, exist_ok=True)
    file = given.findings / "lost"
    file.write_bytes(body)
    print(f"The decoder {how}; {size} bytes, kept as {file}: {body!r:.400}", flush=True)
    return 1


if __name__ == "__main__":
    arguments = _arguments()
    sys.exit(_watch(arguments) if arguments.state is None else _work(arguments))
