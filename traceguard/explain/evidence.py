"""What an answer rests on: the window's facts and circumstances, and what is wrong with the data."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.circumstances import Read
from traceguard.engine.failures import read_failures
from traceguard.engine.left_out import Kind, LeftOut
from traceguard.engine.local import Window, fetch
from traceguard.engine.watermark import Completeness
from traceguard.explain.sampling import Sampled, judge_sampling
from traceguard.traces.clock_skew import Calls, Offset, corrected, outside_by_service
from traceguard.traces.critical_path import callees
from traceguard.traces.error_origin import Path
from traceguard.traces.facts import Facts, concatenate, facts_and_paths, facts_of, no_facts
from traceguard.traces.fan_out import FanOut, fan_out, no_fan_out
from traceguard.traces.link import Linked
from traceguard.traces.retries import calls as find_calls
from traceguard.traces.sampling import Sampling
from traceguard.traces.streams import streams_of

if TYPE_CHECKING:
    import duckdb

SKEWED_CALLS = 0.01  # part of a service's calls outside their callers' spans that is worth a warning


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything an answer rests on."""

    window: Window
    read: Read
    facts: Facts
    spans: int  # distinct spans in the window
    incomplete: int  # traces with missing spans
    fragments: int  # requests left out because their upper part is missing
    negative_durations: int
    left_out: int  # requests that the settings leave out
    skewed: dict[str, float]  # services whose clock visibly differs from their callers', with the part of calls
    error_paths: dict[int, Path]  # what the facts' path numbers stand for
    fan_out: FanOut
    sampling: Sampling
    sampled: Sampled
    left_out_by: tuple[tuple[Kind, str, int], ...]  # rules that leave out requests, and how many
    offsets: tuple[Offset, ...]  # pairs of hosts whose clocks differ
    in_step: Facts | None  # the facts if those offsets are taken out; never what is reported, only held against it
    watermark: int | None  # ns: requests that began from then on may still get spans; None where all are complete
    past_watermark: int  # traces that began from the watermark on
    kept: tuple[int, int, int, int] | None  # what the answer rests on: first and last begin (ns), traces, spans
    headless: int  # traces of which only fragments came; each counts as one incomplete request
    streams: dict[str, int]  # long-lived streams that are left out, by service and operation

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        arrays = (*(getattr(facts, f.name) for facts in (self.facts, self.in_step) if facts for f in fields(facts)),)
        return sum(int(array.nbytes) for array in arrays) + 100 * self.window.trace_hash.size

    @property
    def requests(self) -> int:
        """The requests of the window, those of which only fragments came included, one a trace."""
        return self.facts.dur.size + self.headless

    @property
    def incomplete_fraction(self) -> float:
        """The share of requests that miss spans."""
        return (int(self.facts.incomplete.sum()) + self.headless) / max(self.requests, 1)

    @property
    def environments(self) -> list[str]:
        """The environments that requests of the window ran in."""
        return [self.window.names.environments[i] for i in np.unique(self.facts.environment)]


def share_of_time(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
    """The part of the requests' time, 0 where they took none. Sums of nanoseconds may exceed 64 bits."""
    total = float(whole.sum(dtype=np.float64))
    return float(part.sum(dtype=np.float64)) / total if total else 0.0


def gather(
    cursor: "duckdb.DuckDBPyConnection", window: Window, read: Read, partitions: Iterable[Linked],
    left_out: LeftOut, sampling: Sampling | None = None, *, again: Callable[[], Iterable[Linked]] | None = None,
    ignore_watermark: bool = False,
) -> Evidence:  # fmt: skip
    """Reduce the window to facts, a partition at a time.

    `cursor` is the one that the window was opened on; without `sampling` no trace says how it was sampled. `again`
    gives the partitions once more, which is asked for only where clocks differ. Requests past the watermark are left
    out unless `ignore_watermark` is given.
    """
    parts, spans, incomplete, fragments, headless = [], 0, 0, 0, 0
    streams: Counter[str] = Counter()
    stated = read_failures(cursor, window)
    middle = int(np.median(window.begun)) if window.begun.size else 0
    error_paths: dict[int, Path] = {}
    repeated_calls = no_fan_out()
    calls, completeness = Calls(), Completeness(window)
    for linked in partitions:
        callee = callees(linked)
        found, paths = facts_and_paths(linked, callee, stated)
        parts.append(found)
        error_paths |= paths
        repeated_calls += fan_out(linked, callee, find_calls(linked, callee), middle)
        spans += linked.trace.size
        incomplete += int(linked.incomplete.sum())
        headless += _headless(linked)
        streams.update(streams_of(linked))
        fragments += int(np.count_nonzero(linked.fragment & ~linked.evaluation[linked.root]))
        calls.add(linked, callee)
        completeness.add(linked, callee)
    offsets = calls.offsets()
    outside, judged = outside_by_service(offsets, window.names)
    worth = np.flatnonzero(outside > SKEWED_CALLS * judged)
    skewed = tuple(o for o in offsets if o.skewed)
    watermark = completeness.watermark()
    past = window.begun >= (np.iinfo(np.int64).max if watermark is None else watermark)
    late = past if not ignore_watermark else np.zeros_like(past)

    def counted(facts: Facts) -> Facts:
        rows = window.rows_of(facts.trace_hash)
        keep = (left_out.rule_of(facts.entry, rows) < 0) & ~late[rows]
        return facts if keep.all() else facts.select(keep)

    facts = concatenate(parts) if parts else no_facts()
    rows = window.rows_of(facts.trace_hash)
    rule = left_out.rule_of(facts.entry, rows)
    by_rule = np.bincount(rule[(rule >= 0) & ~late[rows]], minlength=len(left_out.rules)).tolist()
    kept = counted(facts)
    sampling = sampling or Sampling.unstated(window.trace_hash.size)
    in_step = None
    if skewed and again is not None:
        in_step = counted(concatenate([facts_of(corrected(linked, skewed), stated=stated) for linked in again()]))
    return Evidence(
        window=window, read=read, facts=kept, spans=spans, incomplete=incomplete, fragments=fragments,
        negative_durations=int(fetch(cursor, "clock_faults")["spans"][0]), left_out=sum(by_rule),
        skewed={window.names.services[i]: float(outside[i] / judged[i]) for i in worth},
        error_paths=error_paths, fan_out=repeated_calls,
        sampling=sampling,
        sampled=judge_sampling(kept, window.rows_of(kept.trace_hash), sampling),
        left_out_by=(
            *((kind, name, count) for (kind, name), count in zip(left_out.rules, by_rule, strict=True) if count),
            *(("environment", name, traces) for name, traces in left_out.elsewhere),
        ),
        headless=headless, streams=dict(streams),
        offsets=skewed, in_step=in_step, watermark=watermark, past_watermark=int(past.sum()),
        kept=None if ignore_watermark or not past.any() else _kept(window, ~past, completeness),
    )  # fmt: skip


def _kept(window: Window, before: NDArray[np.bool_], completeness: Completeness) -> tuple[int, int, int, int] | None:
    begun = window.begun[before]
    if not begun.size:
        return None
    return int(begun.min()), int(begun.max()), int(begun.size), int(completeness.spans[before].sum())


def _headless(linked: Linked) -> int:
    """How many traces miss spans and hold no request that counts."""
    headed = np.zeros(len(linked.trace_ids), dtype=np.bool_)
    headed[linked.trace[linked.root[~linked.fragment]]] = True
    return int(np.count_nonzero(linked.incomplete & ~headed))
