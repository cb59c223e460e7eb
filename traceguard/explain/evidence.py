"""What an answer rests on: the window's facts and circumstances, and what is wrong with the data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceguard.engine.circumstances import Read
from traceguard.engine.failures import read_failures
from traceguard.engine.left_out import Kind, LeftOut
from traceguard.engine.local import Window, fetch
from traceguard.explain.sampling import Sampled, judge_sampling
from traceguard.traces.critical_path import callees, skewed_calls
from traceguard.traces.error_origin import Path
from traceguard.traces.facts import Facts, concatenate, facts_and_paths, no_facts
from traceguard.traces.fan_out import FanOut, fan_out, no_fan_out
from traceguard.traces.link import Linked
from traceguard.traces.retries import calls as find_calls
from traceguard.traces.sampling import Sampling

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

    @property
    def environments(self) -> list[str]:
        """The environments that requests of the window ran in."""
        return [self.window.names.environments[i] for i in np.unique(self.facts.environment)]


def gather(
    cursor: "duckdb.DuckDBPyConnection", window: Window, read: Read, partitions: Iterable[Linked],
    left_out: LeftOut, sampling: Sampling | None = None,
) -> Evidence:  # fmt: skip
    """Reduce the window to facts, a partition at a time.

    `cursor` is the one that the window was opened on; without `sampling` no trace says how it was sampled.
    """
    parts, spans, incomplete, fragments = [], 0, 0, 0
    stated = read_failures(cursor, window)
    middle = int(np.median(window.begun)) if window.begun.size else 0
    error_paths: dict[int, Path] = {}
    repeated_calls = no_fan_out()
    outside, calls = np.zeros((2, len(window.names.services)), dtype=np.int64)
    for linked in partitions:
        callee = callees(linked)
        found, paths = facts_and_paths(linked, callee, stated)
        parts.append(found)
        error_paths |= paths
        repeated_calls += fan_out(linked, callee, find_calls(linked, callee), middle)
        spans += linked.trace.size
        incomplete += int(linked.incomplete.sum())
        fragments += int(np.count_nonzero(linked.fragment & ~linked.evaluation[linked.root]))
        outside, calls = (a + b for a, b in zip((outside, calls), skewed_calls(linked, callee), strict=True))
    facts = concatenate(parts) if parts else no_facts()
    rows = window.rows_of(facts.trace_hash)
    rule = left_out.rule_of(facts.entry, rows)
    kept = facts.select(rule < 0) if (rule >= 0).any() else facts
    by_rule = np.bincount(rule[rule >= 0], minlength=len(left_out.rules)).tolist()
    sampling = sampling or Sampling.unstated(window.trace_hash.size)
    skewed = np.flatnonzero(outside > SKEWED_CALLS * calls)
    return Evidence(
        window=window, read=read, facts=kept, spans=spans, incomplete=incomplete, fragments=fragments,
        negative_durations=int(fetch(cursor, "clock_faults")["spans"][0]), left_out=facts.dur.size - kept.dur.size,
        skewed={window.names.services[i]: float(outside[i] / calls[i]) for i in skewed},
        error_paths=error_paths, fan_out=repeated_calls,
        sampling=sampling,
        sampled=judge_sampling(kept, rows[rule < 0], sampling),
        left_out_by=(
            *((kind, name, count) for (kind, name), count in zip(left_out.rules, by_rule, strict=True) if count),
            *(("environment", name, traces) for name, traces in left_out.elsewhere),
        ),
    )  # fmt: skip
