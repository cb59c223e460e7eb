"""Every recorded request as it was and as it would be, were the target slower or failing more.

The store is read once, on all CPUs. Where more than one delay is asked about, or failures climb as the whole window
showed them to, the requests that the scenario hits are kept as trees, on disk where they are many.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.spool import Spool
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.delay import Delay
from traceguard.radius.outcomes import RETIMED, Outcomes, Users, buckets, entries, entry_named
from traceguard.radius.population import Population
from traceguard.radius.propagation import FEW_FAILURES, Propagation, failures
from traceguard.radius.retime import stretched
from traceguard.radius.scenario import Scenario
from traceguard.radius.trees import Trees
from traceguard.radius.usable import Usable
from traceguard.traces.link import Linked, Names

_ONE = 1 << 32  # whole numbers, so that sums are the same however the window is parted

Reduced = TypeVar("Reduced")
Partitions = Callable[[Callable[[Linked], Any]], Iterable[Any]]
"""What a function makes of each partition of the window, in order; it may be called from several threads."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one partition gives; `rows` are complete unless `trees` have still to be gone over."""

    names: Names
    rows: NDArray[Any]
    trees: Trees | None
    learned: Propagation
    hit: int
    torn: int
    usable: Usable


@dataclass(frozen=True, slots=True)
class Retimed:
    """The requests of an entry point as they were and as they would be, were they hit."""

    rows: NDArray[Any]
    off: tuple[float, float] = (0.0, 0.0)
    """By how much the share of requests that a hit newly fails may lie lower and higher, by how failures climb."""

    @property
    def before(self) -> Population:
        """As they were."""
        return self.at(0.0)

    @property
    def hit_fraction(self) -> float:
        """The part that calls the target."""
        return float(self.rows["hit"].mean())

    def climbing(self, exposure: float) -> tuple[float, float]:
        """By how much the error rate at an exposure may lie lower and higher, by how failures climb."""
        return exposure * self.off[0], exposure * self.off[1]

    def at(self, exposure: float) -> Population:
        """If the share `exposure` of them is hit."""
        if not self.rows["hit"].any():
            exposure = 0.0  # nothing to mix
        before, after, failed, newly, bucket = (
            np.ascontiguousarray(self.rows[name]) for name in ("before", "after", "failed", "newly", "bucket")
        )
        return Population.mixture(before, after, failed, newly, bucket, exposure)


@dataclass(slots=True)
class Recorded:
    """The requests of a window, and the trees of those that the scenario hits."""

    scenario: Scenario
    usable: Usable
    names: Names = field(default_factory=lambda: Names((), (), ()))
    outcomes: Outcomes = field(default_factory=Outcomes)
    learned: Propagation = field(default_factory=Propagation.nothing_seen)
    hit: int = 0  # requests that call the target
    torn: int = 0  # fragments that do
    assumed: set[int] = field(default_factory=set)  # pairs at which failures were assumed to climb
    thin: dict[int, int] = field(default_factory=dict)  # pairs with few failures to learn from, and how many
    off: dict[int, list[int]] = field(default_factory=dict)  # by entry: `Retimed.off` times its requests, in 1 / _ONE
    _kept: Spool = field(default_factory=lambda: Spool("the requests that are retimed"))

    @classmethod
    def of(cls, partitions: Partitions, scenario: Scenario, usable: Usable, users: Users | None) -> "Recorded":
        """Go over the window once."""
        found = cls(scenario, usable)
        later = scenario.error_rate > 0 or scenario.search == "delay"
        for part in partitions(lambda linked: _part(linked, scenario, usable, users, later)):
            found.names, found.learned = part.names, found.learned + part.learned
            found.hit, found.torn = found.hit + part.hit, found.torn + part.torn
            usable.streams.update(part.usable.streams)
            if part.trees is None:
                found.outcomes.add(part.rows)
            else:
                found._kept.put([part.rows, *part.trees.arrays])
        return found

    def kept(self, number: int) -> tuple[NDArray[Any], Trees]:
        """The rows and trees of a partition."""
        rows, *arrays = self._kept.take(number)
        return rows, Trees.from_arrays(arrays)

    def kept_entries(self) -> list[tuple[int, model.Entry]]:
        """The entry points of what is kept, by number."""
        numbers = {int(n) for part in range(self.parts) for n in np.unique(self._kept.take(part)[0]["entry"])}
        return [(number, entry_named(self.names, number)) for number in sorted(numbers)]

    def cases(self) -> Iterator[tuple[model.Entry, "Retimed"]]:
        """Every entry point with its requests."""
        for number in self.outcomes.entries:
            rows = self.outcomes.of(number)
            lower, higher = (off / _ONE / rows.size for off in self.off.get(number, (0, 0)))
            yield entry_named(self.names, number), Retimed(rows, (lower, higher))

    @property
    def parts(self) -> int:
        """How many partitions are kept."""
        return len(self._kept)

    def settle(self, delay: Delay) -> None:
        """Complete the outcomes of what was kept, for this delay."""
        for number in range(self.parts):
            rows, trees = self.kept(number)
            rows = rows.copy()
            rows["after"][trees.row] = slowed(trees, delay)
            if self.scenario.error_rate > 0:
                self._fail(rows, trees)
            self.outcomes.add(rows)

    def _fail(self, rows: NDArray[Any], trees: Trees) -> None:
        """Let the calls of a partition fail, as the whole window showed failures to climb, and note how surely."""
        rate, climbs = self.scenario.error_rate, self.learned.climbs(trees, self.names)
        newly = failures(trees, climbs.share, rate)
        rows["newly"][trees.row] = newly[trees.root]
        told = (newly > 0) & (climbs.pair >= 0) & (climbs.seen < FEW_FAILURES)
        for pair, seen in np.unique(np.stack((climbs.pair[told], climbs.seen[told])), axis=1).T.tolist():
            if seen:
                self.thin[pair] = seen
            else:
                self.assumed.add(pair)
        entry, failed = rows["entry"][trees.row], rows["failed"][trees.row]
        for side, share in enumerate((climbs.low, climbs.high)):
            off = np.abs(failures(trees, share, rate) - newly)[trees.root]
            numbers, at = np.unique(entry, return_inverse=True)
            sums = np.zeros(numbers.size, dtype=np.int64)
            np.add.at(sums, at, np.rint(np.where(failed, 0.0, off) * _ONE).astype(np.int64))
            for number, added in zip(numbers.tolist(), sums.tolist(), strict=True):
                self.off.setdefault(number, [0, 0])[side] += added


def slowed(trees: Trees, delay: Delay) -> NDArray[np.int64]:
    """How long each request takes with the delay in every call, ns; shape h."""
    extra = np.zeros(trees.parent.size, dtype=np.int64)
    extra[trees.call] = delay.draw(trees.key)
    return stretched(trees, extra)


def _part(linked: Linked, scenario: Scenario, usable: Usable, users: Users | None, later: bool) -> _Part:
    mine = Usable(usable.entries, usable.traces)
    whole = mine.of(linked)
    member = members(linked, scenario.service or "", scenario.operation)
    call, _ = calls_of(linked, visits_of(linked), member)
    torn = int(np.unique(linked.request[call][linked.fragment[linked.request[call]]]).size)
    trees = Trees.of(linked, whole, call)
    root = linked.root[whole]
    rows = np.zeros(root.size, dtype=RETIMED)
    rows["entry"], rows["bucket"] = entries(linked, whole), buckets(linked, whole, users)
    rows["before"] = rows["after"] = linked.end[root] - linked.start[root]
    rows["failed"] = linked.failed[root]
    rows["hit"][trees.row] = True
    if later:
        learned = Propagation.seen_in(linked) if scenario.error_rate > 0 else Propagation.nothing_seen()
        return _Part(linked.names, rows, trees, learned, trees.row.size, torn, mine)
    if scenario.delay.mean_ns > 0:
        rows["after"][trees.row] = slowed(trees, scenario.delay)
    return _Part(linked.names, rows, None, Propagation.nothing_seen(), trees.row.size, torn, mine)
