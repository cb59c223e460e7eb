"""The server's metrics, read back with Prometheus's own parser."""

import re
import threading

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from traceguard.server.watch import process
from traceguard.server.watch.counters import Counters


def _read(counters: Counters) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    families = text_string_to_metric_families(counters.text())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_promised_metrics_are_there_from_the_start() -> None:
    """Scrapers see every promised series before anything happened."""
    text = Counters().text()
    for line in (
        "traceguard_spans_received_total 0",
        "traceguard_spans_committed_total 0",
        "traceguard_spans_duplicate_total 0",
        'traceguard_spans_refused_total{reason="commit_failed"} 0',
        "# TYPE traceguard_spans_refused_total counter",
        "# TYPE traceguard_commit_duration_seconds histogram",
        'traceguard_request_duration_seconds_bucket{protocol="grpc",le="+Inf"} 0',
    ):
        assert line in text.splitlines()


def test_counts_add_up_by_label_and_labels_are_escaped() -> None:
    """Levels of a label count apart; quotes and line breaks in one cannot break the text."""
    counters = Counters()
    counters.add("spans_refused", 2, "busy")
    counters.add("spans_refused", 3, "busy")
    counters.add("spans_refused", 1, 'a "b"\n\\')
    counters.watch("ready", lambda: 1.0)
    counters.watch("build_info", lambda: 1.0, "0.1.0")
    counters.watch("span_lag_seconds", lambda: float("nan"))
    read = _read(counters)
    assert counters.value("spans_refused", "busy") == 5
    assert read["traceguard_spans_refused_total", (("reason", "busy"),)] == 5
    assert read["traceguard_spans_refused_total", (("reason", 'a "b"\n\\'),)] == 1
    assert read["traceguard_build_info", (("version", "0.1.0"),)] == 1
    assert np.isnan(read["traceguard_span_lag_seconds", ()])
    assert "traceguard_ready 1" in counters.text().splitlines()


def test_histograms_count_values_up_to_each_bound() -> None:
    """A value on a bound is within it; one or many at a time come to the same."""
    one, many = Counters(), Counters()
    values = [0.0005, 0.001, 0.002, 0.3, 10.0, 11.0]
    for value in values:
        one.observe("request_duration_seconds", value, "http")
    many.observe_all("request_duration_seconds", np.array(values), "http")
    assert one.text() == many.text()
    read = _read(one)
    bucket = {dict(labels).get("le"): value for (name, labels), value in read.items()
              if name == "traceguard_request_duration_seconds_bucket" and ("protocol", "http") in labels}  # fmt: skip
    assert (bucket["0.001"], bucket["0.0025"], bucket["0.5"], bucket["10"], bucket["+Inf"]) == (2, 3, 4, 5, 6)
    assert list(bucket.values()) == sorted(bucket.values())
    assert read["traceguard_request_duration_seconds_sum", (("protocol", "http"),)] == pytest.approx(sum(values))
    assert one.value("request_duration_seconds", "http") == 6


def test_names_follow_prometheus_conventions() -> None:
    """Counters end in _total and nothing else does; every metric has help that is a sentence; times are in seconds."""
    counters = Counters()
    process.watch(counters)
    for line in counters.text().splitlines():
        if found := re.fullmatch(r"# TYPE (\S+) (\S+)", line):
            name, kind = found.groups()
            assert name.startswith(("traceguard_", "process_")), name
            assert name.endswith("_total") == (kind == "counter"), name
        if found := re.fullmatch(r"# HELP (\S+) (.+)", line):
            assert found[2].endswith("."), found[1]
    assert not re.search(r"_(ms|millis|milliseconds|kb|mb)(_|\b)", counters.text())


def test_what_is_not_declared_cannot_be_counted() -> None:
    """A misspelt name fails where it stands instead of vanishing."""
    counters = Counters()
    with pytest.raises(KeyError, match="There is no counter 'span_received'"):
        counters.add("span_received")
    with pytest.raises(KeyError, match="histogram"):
        counters.observe("spans_received", 1.0)
    with pytest.raises(KeyError, match="gauge or counter"):
        counters.watch("commit_rows", lambda: 0.0)


def test_the_process_is_shown_under_the_names_that_dashboards_know() -> None:
    """Memory, processor time and start are there and plausible."""
    counters = Counters()
    process.watch(counters)
    read = _read(counters)
    assert read["process_cpu_seconds_total", ()] > 0
    assert 1.6e9 < read["process_start_time_seconds", ()] < 1e10
    assert 10e6 < read["process_resident_memory_bytes", ()] < read["process_virtual_memory_bytes", ()]
    assert read["process_open_fds", ()] >= 3


def test_no_count_is_lost_between_threads() -> None:
    """Counts of several threads add up exactly."""
    counters = Counters()

    def work() -> None:
        for _ in range(2_000):
            counters.add("spans_received")
            counters.observe("commit_rows", 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counters.value("spans_received"), counters.value("commit_rows")) == (8_000, 8_000)
