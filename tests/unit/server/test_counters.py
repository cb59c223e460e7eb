"""The server's metrics."""

from traceguard.server.counters import Counters


def test_promised_metrics_are_there_from_the_start() -> None:
    """Scrapers see every promised series before anything happened."""
    text = Counters().text()
    for line in (
        "traceguard_spans_received_total 0",
        "traceguard_spans_committed_total 0",
        'traceguard_spans_refused_total{reason="commit_failed"} 0',
        "# TYPE traceguard_spans_refused_total counter",
    ):
        assert line in text.splitlines()


def test_counts_add_up_by_label_and_labels_are_escaped() -> None:
    """Levels of a label count apart; quotes and line breaks in one cannot break the text."""
    counters = Counters()
    counters.add("spans_refused", 2, "busy")
    counters.add("spans_refused", 3, "busy")
    counters.add("spans_refused", 1, 'a "b"\n\\')
    counters.watch("ready", lambda: 1.0)
    text = counters.text()
    assert counters.value("spans_refused", "busy") == 5
    assert 'traceguard_spans_refused_total{reason="busy"} 5' in text
    assert r'traceguard_spans_refused_total{reason="a \"b\"\n\\"} 1' in text
    assert "traceguard_ready 1" in text.splitlines()
