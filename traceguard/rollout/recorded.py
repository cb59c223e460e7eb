"""What the recording says of the requests that reach the target: as they were, and as they would be after the change.

A request is looked at if a call of the target lies in it or in asynchronous work that it started: these show the flag
or the version that is rolled out, and are what a report compares. The change is that of a what-if (`radius.retime`,
`radius.propagation`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.compared import MIN_ENTRY_REQUESTS
from traceguard.explain.design import design_of
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.entry_points import calls_per_request
from traceguard.radius.evaluators import Evaluators, evaluating
from traceguard.radius.propagation import Propagation, failures
from traceguard.radius.retime import retime
from traceguard.radius.usable import Usable
from traceguard.traces.facts import Facts, facts_of
from traceguard.traces.link import Linked, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.radius.names import Target
    from traceguard.traces.factors import Circumstances, Factor


@dataclass(frozen=True, slots=True)
class Size:
    """The regression that must not go unnoticed: added to every call of the target. One of the two is not 0."""

    delay_ns: int = 0
    error_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of entry points, arrays of length r, about 50 bytes a request."""

    entry: NDArray[np.int64]  # environment * operations + operation of the root
    trace_hash: NDArray[np.uint64]
    start: NDArray[np.int64]  # ns since the epoch
    reached: NDArray[np.bool_]  # whether a call of the target lies in it or in what it started
    before: NDArray[np.int64]  # ns
    added: NDArray[np.int64]  # ns that the change would add
    failed: NDArray[np.bool_]
    newly: NDArray[np.float64]  # probability that the change fails the request
    spent: NDArray[np.int64]  # ns on the critical path in the operations of the target that are called
    blamed: NDArray[np.bool_]  # its error began there

    def select(self, keep: NDArray[np.bool_]) -> "Requests":
        """The requests that `keep` marks."""
        return Requests(*(getattr(self, f.name)[keep] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition of linked traces contributes."""

    names: Names
    requests: Requests
    components: NDArray[np.int64]  # entry * 2 components + component, distinct: those with time in some request
    origins: NDArray[np.int64]  # the same of those where errors began
    torn: int  # fragments that reach the target
    streams: Counter[str]


@dataclass(slots=True)
class Recorded:
    """The whole window."""

    names: Names = field(default_factory=lambda: Names((), (), ()))
    requests: Requests = field(default_factory=lambda: _joined([]))
    components: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    origins: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    torn: int = 0
    streams: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, parts: Iterable[Part]) -> "Recorded":
        """Put the partitions together."""
        found, components, origins, recorded = [], [], [], cls()
        for part in parts:
            recorded.names = part.names
            found.append(part.requests)
            components.append(part.components)
            origins.append(part.origins)
            recorded.torn += part.torn
            recorded.streams += part.streams
        recorded.requests = _joined(found)
        if found:
            recorded.components = np.unique(np.concatenate(components))
            recorded.origins = np.unique(np.concatenate(origins))
        return recorded


def _joined(parts: "Sequence[Requests]") -> Requests:
    kinds = (np.int64, np.uint64, np.int64, np.bool_, np.int64, np.int64, np.bool_, np.float64, np.int64, np.bool_)
    return Requests(
        *(
            np.concatenate([np.empty(0, kind), *(getattr(part, f.name) for part in parts)])
            for f, kind in zip(fields(Requests), kinds, strict=True)
        )
    )


def follow(
    target: "Target", size: Size, *, evaluators: Evaluators | None = None, learned: Propagation | None = None,
    leave_out: NDArray[np.bool_] | None = None, leave_out_traces: NDArray[np.uint64] | None = None,
) -> Callable[[Linked], Part]:  # fmt: skip
    """What makes a partition's part; it may run in several threads at once.

    A flag needs its `evaluators`, errors what was `learned` of how they climb.
    """

    def part(linked: Linked) -> Part:
        visits = visits_of(linked)
        if evaluators is not None:
            member = evaluating(linked, evaluators)
        else:
            member = members(linked, target.service or "", target.operation)
        call, _ = calls_of(linked, visits, member)
        reached = calls_per_request(linked, visits, call) > 0
        usable = Usable(leave_out, leave_out_traces)
        whole = usable.of(linked)
        facts = facts_of(linked)
        keep = whole[linked.whole]
        facts = facts.select(keep)
        root = linked.root[whole]
        end = retime(linked, call * np.int64(size.delay_ns))[1] if size.delay_ns else linked.end
        newly = np.zeros(linked.start.size)
        if size.error_rate:
            share, _ = (learned or Propagation.nothing_seen()).shares(linked)
            newly = failures(linked, share, call, size.error_rate)
        entry = linked.environment[whole].astype(np.int64) * len(linked.names.operations) + linked.operation[root]
        own = np.zeros(2 * len(linked.names.operations), dtype=np.bool_)
        own[2 * np.unique(linked.operation[call])] = True
        width = own.size
        rows = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))
        counted = facts.time > 0
        blamed = facts.origin >= 0
        requests = Requests(
            entry=entry, trace_hash=facts.trace_hash, start=facts.start, reached=reached[whole], before=facts.dur,
            added=end[root] - linked.end[root], failed=facts.failed, newly=newly[root],
            spent=_sum(facts, rows, own[facts.component]), blamed=blamed & own[np.maximum(facts.origin, 0)],
        )  # fmt: skip
        return Part(
            linked.names, requests, np.unique(entry[rows[counted]] * width + facts.component[counted]),
            np.unique(entry[blamed] * width + facts.origin[blamed]), int((linked.fragment & reached).sum()),
            usable.streams,
        )  # fmt: skip

    return part


def _sum(facts: Facts, rows: NDArray[np.int64], mine: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The time of the rows that `mine` marks, by request."""
    total = np.zeros(facts.dur.size, np.int64)
    np.add.at(total, rows[mine], facts.time[mine])
    return total


@dataclass(frozen=True, slots=True)
class Tests:
    """How many tests a report on the rollout would make, for which it adjusts.

    `roots`: entry point by root metric by level; `components`, `origins`: entry point by level by component, of time
    and of errors; `pairs`: entry points under the new level.
    """

    roots: int
    components: int
    origins: int
    pairs: int


METRICS = 5  # root metrics that a report tests


def count_tests(
    recorded: Recorded, factors: "Sequence[Factor]", circumstances: "Circumstances", flag: str | None
) -> Tests:
    """Count the levels that vary now at each entry point, and the one that is rolled out where it is reached.

    A `flag` that varies already counts once.
    """
    requests = recorded.requests
    rows = circumstances.rows_of(requests.trace_hash)
    width = max(2 * len(recorded.names.operations), 1)
    roots = components = origins = pairs = 0
    for entry in np.unique(requests.entry):
        mine = requests.entry == entry
        if np.count_nonzero(mine) < MIN_ENTRY_REQUESTS:
            continue
        tested = [c for c in design_of(factors, circumstances.levels[rows[mine]]).columns if c.tested]
        reached = bool(requests.reached[mine].any())
        new = reached and not any(c.levels[0].factor.key == flag and c.levels[0].factor.kind == "flag" for c in tested)
        levels = len(tested) + int(new)
        roots += METRICS * levels
        components += levels * int(np.count_nonzero(recorded.components // width == entry))
        origins += levels * int(np.count_nonzero(recorded.origins // width == entry))
        pairs += int(reached)
    return Tests(max(roots, METRICS), max(components, 1), max(origins, 1), max(pairs, 1))
