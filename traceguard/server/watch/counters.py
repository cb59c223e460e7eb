"""What the server counts about itself, and its Prometheus text.

Every metric is declared in `_METRICS`, so that scrapers see it from the start; counting one that is not declared is a
mistake and raises. Names are written here without their prefix `traceguard_`, counters without `_total`.
"""

import math
import threading
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric means; `shown` are levels of its `label` that are there from the start, `bounds` a histogram's."""

    kind: Kind
    about: str
    label: str | None = None
    shown: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_ROWS = (10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0, 300_000.0)
_LAGS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0)

_NOT_KEPT = ("busy", "commit_failed")
_REFUSED = ("busy", "commit_failed", "forbidden", "malformed", "oversize", "slow", "unauthenticated", "unsupported")
_PROTOCOLS = ("grpc", "http")
_VERDICTS = ("regression", "no_regression", "inconclusive", "no_data")
_QUESTIONS = ("report", "graph", "blast-radius", "what-if", "plan", "query", "snapshot", "page")

_METRICS: dict[str, Metric] = {
    "build_info": Metric("gauge", "Always 1; the label says which version runs.", "version"),
    "ready": Metric("gauge", "1 if the server takes exports."),
    "uptime_seconds": Metric("gauge", "Seconds since the server started."),
    "spans_received": Metric("counter", "Spans in well-formed requests, refused ones included."),
    "spans_committed": Metric("counter", "Spans committed to disk and acknowledged."),
    "spans_refused": Metric("counter", "Spans that were not kept, by reason.", "reason", _NOT_KEPT),
    "spans_duplicate": Metric("counter", "Committed spans that had come before, not long ago; they count once."),
    "log_records_received": Metric("counter", "Log records in well-formed requests."),
    "log_records_committed": Metric("counter", "Log records committed to disk."),
    "log_records_refused": Metric("counter", "Log records not kept, by reason.", "reason", _NOT_KEPT),
    "metric_points_dropped": Metric("counter", "Metric data points accepted and dropped."),
    "requests_refused": Metric("counter", "Export requests that were refused whole, by reason.", "reason", _REFUSED),
    "request_duration_seconds": Metric(
        "histogram", "Time from an export request's arrival to its answer.", "protocol", _PROTOCOLS, _SECONDS
    ),
    "commits": Metric("counter", "Transactions committed."),
    "commit_failures": Metric("counter", "Transactions that could not be committed."),
    "commit_duration_seconds": Metric("histogram", "Time that a transaction took.", bounds=_SECONDS),
    "commit_rows": Metric("histogram", "Rows of all tables in a transaction.", bounds=_ROWS),
    "commit_lag_seconds": Metric(
        "histogram", "Time from a span's end to its commit; 0 for clocks ahead.", bounds=_LAGS
    ),
    "span_lag_seconds": Metric("gauge", "Seconds since the newest span end received; NaN before the first."),
    "pending_bytes": Metric("gauge", "Bytes of requests in memory, not yet answered."),
    "pending_limit_bytes": Metric("gauge", "Bytes of requests in memory beyond which exporters are told to wait."),
    "pending_requests": Metric("gauge", "Export requests that arrived and are not answered yet."),
    "queued_requests": Metric("gauge", "Export requests that wait to be decoded."),
    "questions_running": Metric("gauge", "Questions that are being answered."),
    "questions_waiting": Metric("gauge", "Questions that wait for their turn."),
    "questions_refused": Metric("counter", "Questions that found the line full, or the server stopping."),
    "questions_dropped": Metric("counter", "Questions whose client went away before the answer."),
    "question_duration_seconds": Metric(
        "histogram", "Time that answering a question took, waiting not included.", "question", _QUESTIONS, _LONG
    ),
    "verdict": Metric(
        "gauge", "1 for the latest verdict of the page's usual report, 0 for others.", "verdict", _VERDICTS
    ),
    "verdict_age_seconds": Metric("gauge", "Seconds since that verdict was given; NaN before this server's first."),
    "store_bytes": Metric("gauge", "Bytes of the store on disk, its log included."),
    "spans_removed": Metric(
        "counter", "Spans removed from the store, as stored, by reason.", "reason", ("age", "size", "forget")
    ),
    "log_records_removed": Metric(
        "counter", "Log records removed from the store, by reason.", "reason", ("age", "size", "forget")
    ),
    "retention_passes": Metric("counter", "Passes of retention that were carried through."),
    "retention_failures": Metric("counter", "Passes of retention that failed; they are tried again."),
    "process_resident_memory_bytes": Metric("gauge", "Resident memory size in bytes."),
    "process_virtual_memory_bytes": Metric("gauge", "Virtual memory size in bytes."),
    "process_cpu_seconds": Metric("counter", "Total user and system CPU time spent in seconds."),
    "process_start_time_seconds": Metric("gauge", "Start time of the process since unix epoch in seconds."),
    "process_open_fds": Metric("gauge", "Number of open file descriptors."),
}

Series = tuple[str, str]


class Counters:
    """Counts by metric and level of its label; safe to use from several threads, and cheap: about 0.3 µs a count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Series, float] = {}
        self._histograms: dict[Series, _Histogram] = {}
        self._read: dict[Series, Callable[[], float]] = {}
        for name, metric in _METRICS.items():
            for level in metric.shown or (("",) if metric.label is None else ()):
                if metric.kind == "counter" and not name.startswith("process_"):
                    self._values[name, level] = 0.0
                elif metric.kind == "histogram":
                    self._histograms[name, level] = _Histogram(metric.bounds)

    def add(self, name: str, amount: float = 1.0, label: str = "") -> None:
        """Count `amount` more of the counter `name`."""
        with self._lock:
            try:
                self._values[name, label] += amount
            except KeyError:
                _declared(name, "counter")
                self._values[name, label] = amount

    def observe(self, name: str, value: float, label: str = "") -> None:
        """Note one value of the histogram `name`."""
        with self._lock:
            self._histogram(name, label).note(value)

    def observe_all(self, name: str, values: "np.ndarray[tuple[int], np.dtype[np.float64]]", label: str = "") -> None:
        """Note many values of the histogram `name` at once."""
        import numpy as np

        bounds = _declared(name, "histogram").bounds
        counts = np.bincount(np.searchsorted(np.asarray(bounds), values), minlength=len(bounds) + 1).tolist()
        with self._lock:
            self._histogram(name, label).note_all(counts, float(values.sum()))

    def watch(self, name: str, read: "Callable[[], float]", label: str = "") -> None:
        """Show the gauge or counter `name` as what `read` returns when someone asks; it must be quick and not raise."""
        _declared(name, "gauge", "counter")
        self._read[name, label] = read

    def value(self, name: str, label: str = "") -> float:
        """What `add` counted so far, or how many values a histogram noted."""
        with self._lock:
            if (name, label) in self._histograms:
                return float(sum(self._histograms[name, label].counts))
            return self._values.get((name, label), 0.0)

    def text(self) -> str:
        """Everything in the Prometheus text format, version 0.0.4."""
        with self._lock:
            values = dict(self._values)
            histograms = {series: histogram.copy() for series, histogram in self._histograms.items()}
        values |= {series: read() for series, read in self._read.items()}
        lines = []
        for name, metric in _METRICS.items():
            full = _full(name, metric.kind)
            samples = [
                f"{full}{_labels(metric.label, level)} {_number(value)}"
                for (counted, level), value in sorted(values.items())
                if counted == name
            ]
            for (counted, level), histogram in sorted(histograms.items(), key=lambda item: item[0]):
                if counted == name:
                    samples += histogram.lines(full, metric.label, level)
            if samples:
                lines += [f"# HELP {full} {metric.about}", f"# TYPE {full} {metric.kind}", *samples]
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str, label: str) -> "_Histogram":
        try:
            return self._histograms[name, label]
        except KeyError:
            return self._histograms.setdefault((name, label), _Histogram(_declared(name, "histogram").bounds))


class _Histogram:
    """Counts of values at most each bound, and beyond the last; with their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def note_all(self, counts: list[int], total: float) -> None:
        self.counts = [have + more for have, more in zip(self.counts, counts, strict=True)]
        self.total += total

    def copy(self) -> "_Histogram":
        other = _Histogram(self.bounds)
        other.note_all(self.counts, self.total)
        return other

    def lines(self, name: str, label: str | None, level: str) -> list[str]:
        found, lines = 0, []
        for bound, count in zip((*self.bounds, math.inf), self.counts, strict=True):
            found += count
            lines.append(f"{name}_bucket{_labels(label, level, le=_number(bound))} {found}")
        plain = _labels(label, level)
        return [*lines, f"{name}_sum{plain} {_number(self.total)}", f"{name}_count{plain} {found}"]


def _declared(name: str, *kinds: Kind) -> Metric:
    metric = _METRICS.get(name)
    if metric is None or metric.kind not in kinds:
        raise KeyError(f"There is no {' or '.join(kinds)} {name!r}; declare it in traceguard.server.watch.counters.")
    return metric


def _full(name: str, kind: Kind) -> str:
    prefixed = name if name.startswith("process_") else f"traceguard_{name}"
    return f"{prefixed}_total" if kind == "counter" else prefixed


def _number(value: float) -> str:
    if math.isfinite(value):
        return f"{value:.15g}"
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _labels(label: str | None, level: str, **more: str) -> str:
    pairs = ([] if label is None else [(label, level)]) + list(more.items())
    if not pairs:
        return ""
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{told}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
