"""A report of two periods tells which dependencies are new and which vanished."""

from collections.abc import Iterator

import pytest
from builders.graphs import append, make_row
from builders.scenes import DURATION_NS, START_NS, recorded

import traceguard
from traceguard.simulate import shop
from traceguard.store import Store, open_store
from traceguard.units import Period

HALF = START_NS + DURATION_NS // 2
BEFORE, AFTER = Period(START_NS, HALF), Period(HALF, START_NS + DURATION_NS)


@pytest.fixture
def store() -> Iterator[Store]:
    """Give a healthy shop whose checkout asks a new service, fraud, in 40 requests of the second half."""
    with open_store(":memory:", mode="write") as opened:
        opened.append([recorded(shop(plants=()), requests=1_500).decoded()])
        with opened.cursor() as cursor:
            calls = cursor.execute(
                "SELECT trace_id, arg_min(span_id, start_ns), min(start_ns) AS start FROM spans"
                " WHERE service = 'checkout' AND start_ns > ? GROUP BY trace_id ORDER BY start LIMIT 40",
                [HALF + 60_000_000_000],
            ).fetchall()
        rows = [
            make_row("f" * 16, span, "fraud", trace_id=trace, start_ns=start + 1, dur_ns=1_000)
            for trace, span, start in calls
        ]
        append(opened, rows)
        yield opened


def test_new_and_vanished_dependencies_stand_in_the_report(store: Store) -> None:
    """The document lists the edge, a warning names it, and the verdict stays; turned round it is gone."""
    analysis = traceguard.report(store, baseline=BEFORE, candidate=AFTER, draw_map=False)
    assert analysis.document.structure is not None
    assert [(e.source, e.target, e.change) for e in analysis.document.structure.new_edges] == [
        ("checkout", "fraud", "new")
    ]
    assert analysis.document.structure.vanished_edges == []
    (warning,) = [w for w in analysis.warnings if w.code == "structure_changed"]
    assert warning.message.endswith("than the baseline: new is checkout to fraud.")
    assert analysis.verdict != "regression"
    back = traceguard.report(store, baseline=AFTER, candidate=BEFORE, draw_map=False)
    assert back.document.structure is not None
    assert [e.target for e in back.document.structure.vanished_edges] == ["fraud"]
    assert any(w.message.endswith("gone is checkout to fraud.") for w in back.warnings)


def test_the_window_cuts_both_sides(store: Store) -> None:
    """Requests outside --since and --until are of neither side: before the first call to fraud nothing is new."""
    analysis = traceguard.report(store, baseline=BEFORE, candidate=AFTER, until=HALF + 60_000_000_000, draw_map=False)
    assert analysis.document.structure is not None
    assert analysis.document.structure.new_edges == []


def test_a_report_without_periods_has_no_structure(store: Store) -> None:
    """Nothing was compared, which is not the same as nothing found."""
    assert traceguard.report(store, draw_map=False).document.structure is None


def test_a_difference_of_the_whole_pipeline(store: Store) -> None:
    """`graph_diff` finds the same edge, also between operations, with text for periods."""
    import traceguard as tg

    found = tg.graph_diff(store, baseline=BEFORE, candidate=AFTER)
    assert [(e.target, e.change) for e in found.document.edges if e.change == "new"] == [("fraud", "new")]
    fine = tg.graph_diff(store, baseline=BEFORE, candidate=AFTER, level="operation")
    assert {e.target for e in fine.document.edges if e.change == "new"} == {"fraud / op"}
