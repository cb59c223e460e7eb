"""What a report says about traces that are not as they should be."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from builders.scenes import START_NS

import traceguard
from traceguard.engine.trace_size import MAX_TRACE_SPANS
from traceguard.otlp.columns import SPANS, Decoded
from traceguard.report import render
from traceguard.report.results import Analysis
from traceguard.settings import Settings
from traceguard.store import Store, open_store

SECOND = 1_000_000_000
MS = 1_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def span(trace: int, number: int, parent: int | None = None, **changed: Any) -> dict[str, Any]:
    """A span's row, a millisecond long."""
    return {
        "trace_id": f"{trace:032x}", "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}", "service": "shop", "operation": "GET /",
        "kind": "server", "start_ns": START_NS + trace * SECOND, "dur_ns": MS, "status": "unset", "flags": 1,
        "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0, "evaluation_only": False,
        "end_before_start_ns": 0,
    } | changed  # fmt: skip


def fill(store: Store, spans: Sequence[dict[str, Any]]) -> None:
    """Append rows to the store."""
    store.append([Decoded(spans=pa.Table.from_pylist(list(spans), schema=SPANS))])


def messages(analysis: Any) -> dict[str, str]:
    """The warnings' messages by code."""
    return {warning.code: warning.message for warning in analysis.document.warnings}


def whole_and_torn() -> list[dict[str, Any]]:
    """Two whole requests, one with a lost span, and one of which only an internal span came."""
    return [
        span(1, 1), span(2, 1), span(3, 1), span(3, 3, parent=2, operation="Quote", service="pricing"),
        span(4, 3, parent=2, operation="render", kind="internal"),
    ]  # fmt: skip


def test_the_share_of_incomplete_requests_is_in_the_document(store: Store) -> None:
    """A request that misses spans counts, and so does one of which only a fragment came."""
    fill(store, whole_and_torn())
    window = traceguard.report(store).to_dict()["window"]
    assert (window["requests"], window["incomplete_fraction"]) == (4, 0.5)


def test_incomplete_requests_are_none_where_nothing_is_missing(store: Store) -> None:
    """The share is stated also where it is nothing."""
    fill(store, [span(1, 1), span(2, 1)])
    analysis = traceguard.report(store)
    assert analysis.document.window.incomplete_fraction == 0
    assert "incomplete_traces" not in messages(analysis)
    empty = traceguard.report(store, since=START_NS + 900 * SECOND).document.window
    assert (empty.requests, empty.incomplete_fraction) == (0, 0)


@pytest.mark.parametrize("form", ["text", "md", "html", "junit"])
@pytest.mark.parametrize(("spans", "share"), [(whole_and_torn(), "50% incomplete"), ([span(1, 1)], "0% incomplete")])
def test_the_share_of_incomplete_requests_is_in_every_form(
    store: Store, form: str, spans: list[dict[str, Any]], share: str
) -> None:
    """Whoever reads a report sees how much of the data came in part."""
    fill(store, spans)
    analysis = traceguard.report(store)
    assert isinstance(analysis, Analysis)
    assert share in render(analysis, form)


def test_a_trace_too_large_is_left_out_and_named(store: Store) -> None:
    """One endless trace takes neither the memory nor the place of the others."""
    fill(store, [span(1, n, parent=1 if n > 1 else None) for n in range(1, MAX_TRACE_SPANS + 2)])
    fill(store, [span(2, 1)])
    analysis = traceguard.report(store)
    assert f"{1:032x}" in messages(analysis)["trace_too_large"]
    assert (analysis.document.window.traces, analysis.document.window.spans) == (1, 1)
    assert "trace_too_large" in messages(traceguard.blast_radius(store, service="shop"))
    assert "trace_too_large" in messages(traceguard.what_if(store, service="shop", delay="1ms"))


def test_a_trace_of_the_largest_size_stays(store: Store) -> None:
    """The bound itself is still looked at."""
    fill(store, [span(1, n, parent=n - 1 if n > 1 else None) for n in range(1, MAX_TRACE_SPANS + 1)])
    analysis = traceguard.report(store)
    assert analysis.document.window.spans == MAX_TRACE_SPANS
    assert "trace_too_large" not in messages(analysis)


def test_streams_are_left_out_by_name_and_count(store: Store) -> None:
    """Calls that nearly always last a minute say nothing about latency."""
    watching = [span(t, 1, service="flagd", operation="EventStream", dur_ns=600 * SECOND) for t in range(1, 4)]
    fill(store, [*watching, span(9, 1)])
    analysis = traceguard.report(store)
    assert "flagd EventStream (3)" in messages(analysis)["long_lived_streams"]
    assert analysis.document.window.requests == 1
    radius = traceguard.blast_radius(store, service="flagd").document
    assert [entry.operation for entry in radius.entries] == []
    assert "flagd EventStream" in messages(traceguard.blast_radius(store, service="flagd"))["long_lived_streams"]


def test_only_streams_that_were_left_out_are_said_to_be(store: Store) -> None:
    """Those below a request stay with it, and those that the settings leave out are not counted twice."""
    shop = [span(t, 1, dur_ns=90 * SECOND, kind="internal") for t in range(1, 4)]
    below = {"parent": 1, "kind": "client", "operation": "Watch", "dur_ns": 80 * SECOND}
    shop += [span(t, 2, **below) for t in range(1, 4)]
    watching = [span(t, 1, service="flagd", operation="EventStream", dur_ns=600 * SECOND) for t in range(11, 14)]
    fill(store, [*shop, *watching])

    def told(**settings: Any) -> list[str | None]:
        given: dict[str, Any] = {"service": "shop", "settings": Settings(**settings)}
        answers = (traceguard.blast_radius(store, **given), traceguard.what_if(store, delay="1ms", **given))
        return [messages(answer).get("long_lived_streams") for answer in answers]

    assert told() == ["3 long-lived streams do not count as requests: flagd EventStream (3)."] * 2
    assert told(leave_out_entries=("flagd *",)) == [None, None]


def test_requests_that_hang_are_no_streams(store: Store) -> None:
    """A tenth of the calls that last over a minute is a regression, not a stream."""
    fill(store, [span(t, 1, dur_ns=70 * SECOND if t % 10 == 0 else MS) for t in range(1, 101)])
    analysis = traceguard.report(store)
    assert "long_lived_streams" not in messages(analysis)
    assert analysis.document.window.requests == 100


def test_a_long_job_is_no_stream(store: Store) -> None:
    """Neither a batch job nor a consumer is what a stream is: nobody holds it open."""
    fill(store, [span(t, 1, kind=kind, dur_ns=900 * SECOND) for t, kind in enumerate(("internal", "consumer"), 1)])
    assert "long_lived_streams" not in messages(traceguard.report(store))


def test_a_web_socket_says_so(store: Store) -> None:
    """Short visits of a web socket count as streams where one of them was long."""
    said = {"attributes": '{"http.response.status_code":101}'}
    visits = [span(t, 1, operation="GET /ws", dur_ns=t * SECOND, **said) for t in range(1, 100)]
    fill(store, [*visits, span(200, 1)])
    assert "shop GET /ws (99)" in messages(traceguard.report(store))["long_lived_streams"]


def ending_together() -> list[dict[str, Any]]:
    """Requests that begin over 200 s and end at one moment, those of the last 30 s with a lost span."""
    found = []
    for t in range(1, 411):
        after = max(0, t - 10) * SECOND // 2
        begun = START_NS + after
        found.append(span(t, 1, kind="internal", start_ns=begun, dur_ns=201 * SECOND - after))
        if after > 170 * SECOND:
            found.append(span(t, 3, parent=2, start_ns=begun))
    return found


def test_where_all_lies_past_the_watermark_that_is_the_reason(store: Store) -> None:
    """Nothing is wrong with the requests' roots, and there is a way to have them judged."""
    fill(store, ending_together())
    told = messages(traceguard.report(store))["no_entry_points"]
    assert told.startswith("The requests of the window began past the watermark")
    assert "--ignore-watermark" in told
    assert "no_entry_points" not in messages(traceguard.report(store, ignore_watermark=True))


def parallel(trace: int, gap_ns: int) -> list[dict[str, Any]]:
    """A request of 10 ms that waits for two calls of 6 ms, whose ends lie `gap_ns` apart."""
    begun = START_NS + trace * SECOND
    return [
        span(trace, 1, dur_ns=10 * MS),
        span(trace, 2, parent=1, kind="client", operation="a", start_ns=begun + MS, dur_ns=6 * MS),
        span(trace, 3, parent=1, kind="client", operation="b", start_ns=begun + MS + gap_ns, dur_ns=6 * MS),
    ]


def test_ambiguous_paths_are_measured_and_said(store: Store) -> None:
    """Where two calls end together either could be the one, for as long as they took."""
    fill(store, [row for t in range(1, 11) for row in parallel(t, 0)])
    analysis = traceguard.report(store)
    paths = analysis.document.critical_paths
    assert paths is not None
    assert paths.ambiguous_fraction == pytest.approx(0.6)
    assert paths.overlapped_fraction == pytest.approx(0.6)
    assert "60.0%" in messages(analysis)["ambiguous_paths"]


def test_paths_that_are_clear_are_not_warned_of(store: Store) -> None:
    """Parallel work alone is no doubt: the call that ended later is the one."""
    fill(store, [row for t in range(1, 11) for row in parallel(t, MS)])
    analysis = traceguard.report(store)
    paths = analysis.document.critical_paths
    assert paths is not None
    assert paths.ambiguous_fraction == 0
    assert paths.overlapped_fraction == pytest.approx(0.6)
    assert "ambiguous_paths" not in messages(analysis)
