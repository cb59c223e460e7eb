"""What the server counts about itself, and its Prometheus text."""

import threading
from collections.abc import Callable

_SPAN_REASONS = ("busy", "commit_failed")

# Name: type, help, label, label values that are shown from the start.
_METRICS: dict[str, tuple[str, str, str | None, tuple[str, ...]]] = {
    "traceguard_spans_received_total": ("counter", "Spans in well-formed requests, refused ones included.", None, ()),
    "traceguard_spans_committed_total": ("counter", "Spans committed to disk and acknowledged.", None, ()),
    "traceguard_spans_refused_total": ("counter", "Spans that were not kept, by reason.", "reason", _SPAN_REASONS),
    "traceguard_log_records_received_total": ("counter", "Log records in well-formed requests.", None, ()),
    "traceguard_log_records_committed_total": ("counter", "Log records committed to disk.", None, ()),
    "traceguard_log_records_refused_total": ("counter", "Log records not kept, by reason.", "reason", _SPAN_REASONS),
    "traceguard_metric_points_dropped_total": ("counter", "Metric data points accepted and dropped.", None, ()),
    "traceguard_requests_refused_total": (
        "counter",
        "Export requests that were refused whole, by reason.",
        "reason",
        ("busy", "commit_failed", "malformed", "oversize", "unsupported"),
    ),
    "traceguard_commits_total": ("counter", "Transactions committed.", None, ()),
    "traceguard_commit_failures_total": ("counter", "Transactions that could not be committed.", None, ()),
    "traceguard_commit_seconds_total": ("counter", "Time spent committing.", None, ()),
    "traceguard_pending_bytes": ("gauge", "Bytes of requests in memory, not yet answered.", None, ()),
    "traceguard_ready": ("gauge", "1 if the server takes exports.", None, ()),
}


class Counters:
    """Counts by metric and label; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], float] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        for name, (kind, _, _, labels) in _METRICS.items():
            if kind == "counter":
                self._values.update({(name, label): 0.0 for label in labels or ("",)})

    def add(self, name: str, amount: float = 1.0, label: str = "") -> None:
        """Count `amount` more of `name` (without the prefix `traceguard_` and the suffix `_total`)."""
        key = (f"traceguard_{name}_total", label)
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Show the gauge `name` as what `read` returns when someone asks."""
        self._gauges[f"traceguard_{name}"] = read

    def value(self, name: str, label: str = "") -> float:
        """What `add` counted so far."""
        with self._lock:
            return self._values.get((f"traceguard_{name}_total", label), 0.0)

    def text(self) -> str:
        """Everything in the Prometheus text format, version 0.0.4."""
        with self._lock:
            values = dict(self._values)
        values.update({(name, ""): read() for name, read in self._gauges.items()})
        lines = []
        for name, (kind, about, label, _) in _METRICS.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            for (counted, level), value in sorted(values.items()):
                if counted == name:
                    lines.append(f"{name}{_labels(label, level)} {value:.15g}")
        return "\n".join(lines) + "\n"


def _labels(label: str | None, level: str) -> str:
    if label is None:
        return ""
    escaped = level.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{{label}="{escaped}"}}'
