"""A flag at its current share of requests, extended to another: direct standardisation, without a model.

Within an entry point and slice of time the requests under the level and those under the reference stand for what all
of them would show, and count as often as the wanted exposure says (direct standardisation; see Hernán and Robins,
"Causal Inference: What If", chapter 2). That supposes the flag assigned as if at random within entry point and slice,
and that nothing saturates when more requests get the level. Slices in which only one of both was seen are left out on
both sides; requests that ran under neither stay as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.radius.outcomes import Outcomes, Users, buckets, entries
from traceguard.radius.population import SCALE, Grouped, Population
from traceguard.radius.retimed import Partitions
from traceguard.radius.usable import Usable
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.link import Linked, Names

NEITHER, LEVEL, REFERENCE = range(3)
MOST_SLICES = 24
FEWEST_A_SLICE = 20  # of the rarer side, on average: thinner slices would mostly be left out

FLAGGED = np.dtype([
    ("entry", np.int32),
    ("value", np.int64),  # ns
    ("failed", np.bool_),
    ("bucket", np.uint8),
    ("side", np.uint8),  # NEITHER, LEVEL, REFERENCE
    ("begun", np.int64),  # ns since the epoch
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sides:
    """Which traces ran under the level that is extended, and which under its reference; shapes t, hashes ascend."""

    flag: str
    level: str | None
    reference: str | None
    trace_hash: NDArray[np.uint64]
    side: NDArray[np.uint8]


def sides_of(
    flag: str, factor: Factor | None, code: NDArray[np.int16], trace_hash: NDArray[np.uint64], variant: str | None
) -> Sides:
    """Both levels of a flag: `variant`, else the only one that is not the reference; arrays of shape t.

    Where the window does not show both (`factor` is None where it shows none) no trace is on either side. UsageError
    where it is not clear which level is extended, or in whose place.
    """
    levels = () if factor is None else factor.levels[FIRST_LEVEL:]
    if factor is None or len(levels) < 2 or variant not in {None, *levels}:
        return Sides(flag, variant, None, trace_hash, np.full(trace_hash.size, NEITHER, dtype=np.uint8))
    held_against = factor.levels[factor.reference]
    others = [each for each in levels if each != held_against]
    if len(others) > 1 and variant in {None, held_against}:
        named = ", ".join(f"{flag}={each}" for each in others)
        raise UsageError(f"Which level of {flag} is extended, instead of {held_against}? Name one of {named}.")
    level = variant or others[0]
    reference = others[0] if level == held_against else held_against
    number = factor.levels.index(level, FIRST_LEVEL), factor.levels.index(reference, FIRST_LEVEL)
    side = np.where(code == number[0], LEVEL, np.where(code == number[1], REFERENCE, NEITHER)).astype(np.uint8)
    return Sides(flag, level, reference, trace_hash, side)


@dataclass(frozen=True, slots=True)
class Extension:
    """The requests of an entry point that can be compared, in slices of time; shapes r."""

    rows: NDArray[Any]
    slices: NDArray[np.int64]  # numbers from 0 without gaps
    left_out: int  # requests in slices with one side only

    @classmethod
    def of(cls, rows: NDArray[Any]) -> "Extension":
        """Slice the requests of an entry point."""
        sides = [np.count_nonzero(rows["side"] == side) for side in (LEVEL, REFERENCE)]
        if not any(sides):
            return cls(rows, np.zeros(rows.size, dtype=np.int64), 0)
        count = int(np.clip(min(sides) // FEWEST_A_SLICE, 1, MOST_SLICES))
        begun = rows["begun"]
        first, length = int(begun.min()), int(np.ptp(begun)) + 1
        number = ((begun - first) / length * count).astype(np.int64)
        seen = [np.bincount(number[rows["side"] == side], minlength=count) > 0 for side in (LEVEL, REFERENCE)]
        both = (seen[0] & seen[1])[number]
        slices = np.unique(number[both], return_inverse=True)[1]
        return cls(rows[both], slices.astype(np.int64), int(np.count_nonzero(~both)))

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Requests that ran under the level or its reference."""
        found: NDArray[np.bool_] = self.rows["side"] != NEITHER
        return found

    @property
    def hit_fraction(self) -> float:
        """The part that ran under either."""
        return float(self.compared.mean())

    @property
    def before(self) -> Population:
        """As it was."""
        weight = np.full(self.rows.size, SCALE, dtype=np.int64)
        return Population(self.rows["value"], weight, self.rows["failed"].astype(np.float64), self.rows["bucket"])

    def climbing(self, exposure: float) -> tuple[float, float]:  # noqa: ARG002  (as of retimed requests)
        """What is not known of how failures climb: nothing, as the level's own failures are counted."""
        return 0.0, 0.0

    def at(self, exposure: float) -> Population:
        """As it would be if the level had the share `exposure` of the compared requests, in every slice."""
        side, number = self.rows["side"].astype(np.int64), self.slices * 3
        size = np.bincount(number + side, minlength=int(number.max(initial=0)) + 3).reshape(-1, 3)
        compared = size[:, LEVEL] + size[:, REFERENCE]
        wanted = np.zeros(size.shape)
        wanted[:, NEITHER], wanted[:, LEVEL] = size[:, NEITHER], exposure * compared
        wanted[:, REFERENCE] = compared - wanted[:, LEVEL]
        each = np.rint(SCALE * wanted / np.maximum(size, 1)).astype(np.int64)
        grouped = Grouped(number + side, self.slices * 2 + (side == NEITHER))
        return Population(
            self.rows["value"], each[self.slices, side], self.rows["failed"].astype(np.float64), self.rows["bucket"],
            1, grouped,
        )  # fmt: skip


@dataclass(slots=True)
class Observed:
    """The requests of a window by entry point and side."""

    outcomes: Outcomes
    names: Names

    @classmethod
    def of(cls, partitions: Partitions, sides: Sides, usable: Usable, users: Users | None) -> "Observed":
        """Go over the window once."""
        found = cls(Outcomes(), Names((), (), ()))
        for names, rows, streams in partitions(lambda linked: _part(linked, sides, usable, users)):
            found.names = names
            found.outcomes.add(rows)
            usable.streams.update(streams)
        return found


def _part(
    linked: Linked, sides: Sides, usable: Usable, users: Users | None
) -> tuple[Names, NDArray[Any], Mapping[str, int]]:
    mine = Usable(usable.entries, usable.traces)
    whole = mine.of(linked)
    root = linked.root[whole]
    rows = np.zeros(root.size, dtype=FLAGGED)
    rows["entry"], rows["bucket"] = entries(linked, whole), buckets(linked, whole, users)
    rows["value"], rows["failed"] = linked.end[root] - linked.start[root], linked.failed[root]
    rows["begun"] = linked.start[root]
    rows["side"] = sides.side[np.searchsorted(sides.trace_hash, linked.trace_hash)][linked.trace[root]]
    return linked.names, rows, mine.streams
