"""What an answer rests on: the window's facts and circumstances, and what is wrong with the data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.circumstances import Read
from traceguard.engine.failures import read_failures
from traceguard.engine.ledger import Ledger, Writer
from traceguard.engine.left_out import Kind, LeftOut
from traceguard.engine.local import Window, fetch, reduced
from traceguard.engine.trace_counts import TraceCounts
from traceguard.engine.watermark import LATEST_NS, Completeness
from traceguard.explain.between import Between, between, nothing_between
from traceguard.explain.estimates import Estimates
from traceguard.explain.sampling import Sampled, judge_sampling
from traceguard.traces.callers import caller_pairs
from traceguard.traces.clock_skew import Calls, Offset, corrected, outside_by_service
from traceguard.traces.critical_path import callees
from traceguard.traces.error_origin import Path
from traceguard.traces.facts import Facts, Requests, facts_and_paths, facts_of
from traceguard.traces.fan_out import FanOut, fan_out, no_fan_out
from traceguard.traces.link import Linked
from traceguard.traces.retries import calls as find_calls
from traceguard.traces.sampling import Sampling
from traceguard.traces.structure import blocks_of
from traceguard.traces.timeouts import Stated
from traceguard.units import Period

if TYPE_CHECKING:
    import duckdb

_ESTIMATE_BYTES = 100  # about, a request
SKEWED_CALLS = 0.01  # part of a service's calls outside their callers' spans that is worth a warning


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything an answer rests on. Requests that the settings or the watermark leave out are only counted."""

    window: Window
    read: Read
    ledger: Ledger
    judged: NDArray[np.bool_]  # per trace of the window: began before the watermark
    spans: int  # distinct spans of the judged traces
    incomplete: int  # judged traces with missing spans
    fragments: int  # requests left out because their upper part is missing
    negative_durations: int
    left_out: int  # requests that the settings leave out
    skewed: dict[str, float]  # services whose clock visibly differs from their callers', with the part of calls
    error_paths: dict[int, Path]  # what the facts' path numbers stand for
    fan_out: FanOut
    callers: NDArray[np.int64]  # pairs caller * operations + callee, ascending
    sampling: Sampling
    sampled: Sampled
    left_out_by: tuple[tuple[Kind, str, int], ...]  # rules that leave out requests, and how many
    offsets: tuple[Offset, ...]  # pairs of hosts whose clocks differ
    in_step: Ledger | None  # the ledger if those offsets are taken out; never what is reported, only held against it
    watermark: int | None  # ns: requests that began from then on may still get spans; None where all are complete
    past_watermark: int  # traces that began from the watermark on
    headless: int  # judged traces of which only fragments came; each counts as one incomplete request
    streams: dict[str, int]  # long-lived streams that are left out, by service and operation
    between: Between | None  # of the two periods, where two were asked about
    estimates: Estimates = field(default_factory=Estimates, repr=False, compare=False)

    @property
    def size(self) -> int:
        """About how many bytes it takes, with the effects that will be estimated from it."""
        of_traces = 100 * self.window.trace_hash.size + self.read.circumstances.size
        of_estimates = self.facts.dur.size * (_ESTIMATE_BYTES + 2 * len(self.read.factors))
        return sum(part.size for part in (self.ledger, self.in_step, self.between) if part) + of_traces + of_estimates

    @property
    def facts(self) -> Requests:
        """The requests that count."""
        return self.ledger.requests

    @property
    def traces(self) -> int:
        """Judged traces."""
        return int(np.count_nonzero(self.judged))

    @property
    def requests(self) -> int:
        """The requests that count, those of which only fragments came included, one a trace."""
        return self.facts.dur.size + self.headless

    @property
    def incomplete_fraction(self) -> float:
        """The share of requests that miss spans."""
        return (int(self.facts.incomplete.sum()) + self.headless) / max(self.requests, 1)

    @property
    def environments(self) -> list[str]:
        """The environments that requests of the window ran in."""
        return [self.window.names.environments[i] for i in np.unique(self.facts.environment)]

    @property
    def environment_labels(self) -> list[str | None]:
        """What documents call each environment of the window: nothing where requests ran in a single one."""
        several = len(self.environments) > 1
        return [(e or "unknown") if several else None for e in self.window.names.environments]


def share_of_time(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """The part of the requests' time, 0 where they took none. Sums of nanoseconds may exceed 64 bits."""
    total = float(whole.sum(dtype=np.float64))
    return float(part.sum(dtype=np.float64)) / total if total else 0.0


def gather(
    cursor: "duckdb.DuckDBPyConnection", window: Window, read: Read, left_out: LeftOut,
    sampling: Sampling | None = None, *, ignore_watermark: bool = False, periods: tuple[Period, Period] | None = None,
    watch: Callable[[str, Iterator[Any]], Iterator[Any]] = lambda _, partitions: partitions,
) -> Evidence:  # fmt: skip
    """Reduce the window to facts, a partition at a time.

    `cursor` is the one that the window was opened on; without `sampling` no trace says how it was sampled. `periods`
    are the baseline and the candidate, where these are compared. The partitions are gone over once more where clocks
    differ, and where requests of the periods lie past the watermark: these are left out unless `ignore_watermark` is
    given. Each pass goes through `watch`, with its name.
    """
    stated = read_failures(cursor, window)
    writer, counts, completeness, calls = Writer(window.rows), TraceCounts(window), Completeness(window), Calls()
    error_paths: dict[int, Path] = {}
    callers = np.empty(0, dtype=np.int64)
    repeated_early, repeated_late, found = no_fan_out(), no_fan_out(), nothing_between()
    reduction = _Reduction(window, stated, left_out, between(window, left_out, *periods) if periods else None)
    for part in watch("Linking traces", reduced(cursor, window, reduction)):
        writer.add(part.facts)
        error_paths |= part.paths
        repeated_early += part.repeated_early
        repeated_late += part.repeated_late
        found += part.between
        callers = np.union1d(callers, part.callers)
        counts.add(part.linked)
        calls.add(part.linked, part.callee)
        completeness.add(part.linked, part.callee)
    offsets = calls.offsets()
    outside, judged_calls = outside_by_service(offsets, window.names)
    worth = np.flatnonzero(outside > SKEWED_CALLS * judged_calls)
    skewed = tuple(o for o in offsets if o.skewed)
    watermark = completeness.watermark()
    past = window.begun >= (np.iinfo(np.int64).max if watermark is None else watermark)
    judged = ~past if not ignore_watermark else np.ones_like(past)
    ledger, by_rule = _counted(writer.ledger(), window, left_out, judged)
    sampling = sampling or Sampling.unstated(window.trace_hash.size)
    in_step = None
    if skewed:
        again = Writer(window.rows)
        parts = reduced(cursor, window, lambda linked: facts_of(corrected(linked, skewed), stated=stated).by_entry())
        for facts in watch("Taking clock skew out", parts):
            again.add(facts)
        in_step, _ = _counted(again.ledger(), window, left_out, judged)
    if periods and (blocks_of(window.begun[~judged], *periods) >= 0).any():
        # The watermark is only known now, and a short candidate may lie near it.
        part_of, found = between(window, left_out, *periods, judged), nothing_between()
        again_parts = reduced(cursor, window, lambda linked: part_of(linked, callees(linked)))
        for more in watch("Leaving out what may still come", again_parts):
            found += more
    wanted = judged & (left_out.trace < 0)
    return Evidence(
        window=window, read=read, ledger=ledger, judged=judged, spans=int(completeness.spans[judged].sum()),
        incomplete=int(np.count_nonzero(counts.incomplete & wanted)), fragments=int(counts.fragments[wanted].sum()),
        negative_durations=int(fetch(cursor, "clock_faults")["spans"][0]), left_out=sum(by_rule),
        skewed={window.names.services[i]: float(outside[i] / judged_calls[i]) for i in worth},
        error_paths=error_paths,
        fan_out=repeated_early if not judged.all() else repeated_early + repeated_late,
        callers=callers, sampling=sampling,
        sampled=judge_sampling(ledger.requests, window.rows_of(ledger.requests.trace_hash), sampling),
        left_out_by=(
            *((kind, name, count) for (kind, name), count in zip(left_out.rules, by_rule, strict=True) if count),
            *(("environment", name, traces) for name, traces in left_out.elsewhere),
        ),
        headless=int(np.count_nonzero(counts.headless & wanted)), streams=counts.streams(wanted),
        offsets=skewed, in_step=in_step, watermark=watermark, past_watermark=int(past.sum()),
        between=found if periods else None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Partial:
    """What one partition contributes."""

    linked: Linked
    callee: NDArray[np.int32]
    facts: Facts
    paths: dict[int, Path]
    repeated_early: FanOut
    repeated_late: FanOut  # of requests so near the end that they may turn out to lie past the watermark
    between: Between
    callers: NDArray[np.int64]


class _Reduction:
    """Makes a partition's part; used by several threads at once."""

    def __init__(
        self, window: Window, stated: Stated, left_out: LeftOut,
        between: Callable[[Linked, NDArray[np.int32]], Between] | None,
    ) -> None:  # fmt: skip
        self._window, self._stated, self._left_out, self._between = window, stated, left_out, between
        begun = window.begun
        self._middle = int(np.median(begun)) if begun.size else 0
        self._sure = int(begun.max()) - LATEST_NS if begun.size else 0

    def __call__(self, linked: Linked) -> _Partial:
        """Facts in the order of entry points, and the sums beside them."""
        callee = callees(linked)
        facts, paths = facts_and_paths(linked, callee, self._stated)
        rows = self._window.rows_of(linked.trace_hash)[linked.trace[linked.root]]
        wanted = self._left_out.rule_of(linked.operation[linked.root], rows) < 0
        early = self._window.begun[rows] < self._sure
        call = find_calls(linked, callee)
        first, last = (fan_out(linked, callee, call, self._middle, wanted & part) for part in (early, ~early))
        found = self._between(linked, callee) if self._between else nothing_between()
        return _Partial(linked, callee, facts.by_entry(), paths, first, last, found, caller_pairs(linked, callee))


def _counted(ledger: Ledger, window: Window, left_out: LeftOut, judged: NDArray[np.bool_]) -> tuple[Ledger, list[int]]:
    """The requests that count, and how many judged ones each rule leaves out."""
    rows = window.rows_of(ledger.requests.trace_hash)
    rule = left_out.rule_of(ledger.requests.entry, rows)
    keep = (rule < 0) & judged[rows]
    by_rule: list[int] = np.bincount(rule[(rule >= 0) & judged[rows]], minlength=len(left_out.rules)).tolist()
    return ledger if keep.all() else ledger.select(keep), by_rule
