"""Stores filled by the simulation, for tests that ask what a planted cause looks like."""

from collections.abc import Iterable
from typing import Any

import traceguard
from traceguard.report import Analysis
from traceguard.simulate import Fleet, Recording, generate
from traceguard.store import open_store

START_NS = 1_795_000_000_000_000_000
DURATION_NS = 1_800_000_000_000


def recorded(fleet: Fleet, *, requests: int = 4_000, seed: int = 1, part: tuple[int, int] = (0, 1)) -> Recording:
    """Half an hour of a fleet, or the part number `part[0]` of `part[1]` equal parts of it."""
    number, parts = part
    length = DURATION_NS // parts
    return generate(fleet, requests=requests, seed=seed, start_ns=START_NS + number * length, duration_ns=length)


def reported(recordings: Recording | Iterable[Recording], **question: Any) -> Analysis:
    """The report on a store that holds the recordings."""
    rows = [recordings] if isinstance(recordings, Recording) else list(recordings)
    with open_store(":memory:", mode="write") as store:
        store.append([recording.decoded() for recording in rows])
        return traceguard.report(store, **question)
