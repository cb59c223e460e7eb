"""What is drawn beside a report: of the requests that were compared, adding up, and nothing where nothing is blamed."""

import numpy as np
import pytest
from builders.scenes import recorded

import traceguard
from traceguard import model
from traceguard.explain import call_path_sums, pictures, typical
from traceguard.report import Analysis
from traceguard.simulate import Plant, shop
from traceguard.store import Store, open_store

FLAG = ("new-pricing", "on")


@pytest.fixture(scope="module")
def store() -> Store:
    """A shop in which new-pricing slows pricing by 30 ms."""
    fleet = shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30),))
    with open_store(":memory:", mode="write") as opened:
        opened.append([recorded(fleet).decoded()])
        yield opened


@pytest.fixture(scope="module")
def analysis(store: Store) -> Analysis:
    """Its report."""
    return traceguard.report(store)


def drawn(analysis: Analysis) -> tuple[model.CallPaths, model.CausePictures]:
    """What belongs to the first cause."""
    assert analysis.pictures is not None
    first = analysis.pictures.causes[0]
    assert first.paths is not None
    return analysis.pictures.paths[first.paths], first


def test_call_paths_add_up_to_the_mean_latency_of_each_side(analysis: Analysis) -> None:
    """All requests of the leading entry point are in them, and every millisecond of them."""
    paths, _ = drawn(analysis)
    cause = analysis.causes[0]
    mean = next(r for r in analysis.regressions if r.entry == paths.entry and r.metric == "latency_mean")
    assert paths.observed == cause.entries[0].requests.affected
    assert sum(p.observed_ms for p in paths.paths) == pytest.approx(mean.observed)
    assert sum(p.reference_ms for p in paths.paths) < mean.observed - 20


def test_the_blamed_path_is_where_the_difference_is(analysis: Analysis) -> None:
    """The path whose own time grew most is the cause's, by about what was planted."""
    paths, _ = drawn(analysis)
    largest = max(paths.paths, key=lambda p: p.observed_ms - p.reference_ms)
    assert (largest.service, largest.operation) == ("pricing", "ComputeQuote")
    calls = 30 * np.array([1, 4])
    assert calls[0] * 0.5 < largest.observed_ms - largest.reference_ms < calls[1]


def test_callers_come_before_what_they_call(analysis: Analysis) -> None:
    """So that one pass draws them."""
    paths, _ = drawn(analysis)
    assert paths.paths[0].above == -1
    assert all(p.above < i for i, p in enumerate(paths.paths))


def test_typical_traces_are_the_exemplars(analysis: Analysis) -> None:
    """Both sides, with spans that fill the request, the blamed time marked, and an id that the store knows."""
    _, first = drawn(analysis)
    cause = analysis.causes[0]
    assert [t.trace_id for t in first.affected] == cause.exemplars.affected
    assert [t.trace_id for t in first.reference] == cause.exemplars.reference
    for trace in (*first.affected, *first.reference):
        waited = sum(end - begin for span in trace.spans for begin, end in span.on_path)
        assert trace.left_out or waited == pytest.approx(trace.duration_ms)
        marked = sum(end - begin for span in trace.spans if span.marked for begin, end in span.on_path)
        assert marked == pytest.approx(trace.blamed_ms)
        assert all((s.service, s.operation) == ("pricing", "ComputeQuote") for s in trace.spans if s.marked)
        assert len(trace.spans) <= typical.MOST_SPANS
    assert first.affected[0].blamed_ms > first.reference[0].blamed_ms + 20


def test_a_typical_trace_names_the_span_to_look_at(store: Store, analysis: Analysis) -> None:
    """Its id is that of a span of the blamed operation."""
    _, first = drawn(analysis)
    trace = first.affected[0]
    with store.cursor() as cursor:
        rows = cursor.execute(
            "SELECT operation FROM spans WHERE trace_id = ? AND span_id = ?", [trace.trace_id, trace.span_id]
        ).fetchall()
    assert rows == [("ComputeQuote",)]


def test_many_requests_are_sampled_and_many_paths_bounded(
    store: Store, analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer requests and paths give nearly the same picture, which still adds up."""
    monkeypatch.setattr(pictures, "MOST_A_SIDE", 60)
    monkeypatch.setattr(call_path_sums, "MOST_PATHS", 4)
    few, _ = drawn(traceguard.report(store))
    many, _ = drawn(analysis)
    assert max(few.reference, few.observed) <= 60 + 20  # typical traces of other causes are read, too
    assert len([p for p in few.paths if not p.smaller]) <= 4
    assert any(p.smaller for p in few.paths)
    assert sum(p.observed_ms for p in few.paths) == pytest.approx(sum(p.observed_ms for p in many.paths), rel=0.25)


def test_without_a_cause_there_is_nothing_to_draw() -> None:
    """A calm shop has no pictures, and a report without a map none either."""
    with open_store(":memory:", mode="write") as opened:
        opened.append([recorded(shop(plants=()), requests=1_000).decoded()])
        assert traceguard.report(opened).pictures == model.Pictures(paths=[], causes=[])
        assert traceguard.report(opened, draw_map=False).pictures is None
