"""Up to when data is complete enough to judge: late spans at the end are cut, what is always missing is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from builders.scenes import DURATION_NS, START_NS, recorded

import traceguard
from traceguard.engine.circumstances import read_circumstances
from traceguard.engine.left_out import LeftOut
from traceguard.engine.local import Window, open_window
from traceguard.engine.watermark import late_from
from traceguard.explain import Evidence, gather
from traceguard.report import Analysis
from traceguard.settings import UNIT_KEYS
from traceguard.simulate import shop
from traceguard.store import open_store
from traceguard.units import Period, parse_time

if TYPE_CHECKING:
    import duckdb

END_NS = START_NS + DURATION_NS
SECOND = 1_000_000_000
Column = pa.ChunkedArray


def reported(keep: Callable[[Column, Column, Column], Column], **question: Any) -> Analysis:
    """The report on half an hour of the healthy shop of which only the spans came that `keep` marks.

    `keep` is told service, kind and start of each.
    """
    recording = recorded(shop(plants=())).decoded()
    spans = recording.spans
    mask = keep(spans["service"].cast("string"), spans["kind"].cast("string"), spans["start_ns"])
    with open_store(":memory:", mode="write") as store:
        store.append([replace(recording, spans=spans.filter(mask))])
        return traceguard.report(store, draw_map=False, **question)


def watermark(analysis: Analysis) -> int:
    """The report's watermark in nanoseconds."""
    text = analysis.document.window.watermark
    assert text is not None
    return parse_time(text, 0)


def codes(analysis: Analysis) -> list[str]:
    """The codes of the report's warnings."""
    return [w.code for w in analysis.warnings]


def late(service: str, seconds: int) -> Callable[[Column, Column, Column], Column]:
    """All spans but those that `service` began in the last `seconds`."""

    def keep(services: Column, _: Column, start: Column) -> Column:
        return pc.invert(pc.and_(pc.equal(services, service), pc.greater(start, END_NS - seconds * SECOND)))

    return keep


def test_a_complete_recording_loses_nothing() -> None:
    """Where the end is as complete as the rest, the watermark is the end of the data."""
    analysis = reported(lambda services, *_: pc.is_valid(services))
    assert "past_watermark" not in codes(analysis)
    assert analysis.document.window.watermark == analysis.document.window.end
    assert analysis.document.window.traces == 4_000


def test_late_callees_are_cut() -> None:
    """Calls of the last minute whose server's spans have not come yet are not judged, nor counted."""
    analysis = reported(late("catalog", 60))
    assert "past_watermark" in codes(analysis)
    assert END_NS - 120 * SECOND <= watermark(analysis) <= END_NS - 50 * SECOND
    assert parse_time(analysis.document.window.end or "", 0) <= watermark(analysis)
    assert 3_600 < analysis.document.window.traces < 3_950


def test_late_callers_are_cut() -> None:
    """Requests of the last minute whose middle is missing are not judged."""
    analysis = reported(late("checkout", 60))
    assert "past_watermark" in codes(analysis)
    assert END_NS - 120 * SECOND <= watermark(analysis) <= END_NS - 50 * SECOND


def test_what_is_late_is_counted_nowhere() -> None:
    """Requests of which only fragments came yet are no incomplete ones of the report; judged all the same, they are."""
    whole = reported(late("frontend", 60)).document.window
    assert whole.incomplete_fraction == 0.0
    judged = reported(late("frontend", 60), ignore_watermark=True)
    assert judged.document.window.requests > whole.requests
    assert judged.document.window.incomplete_fraction > 0.0
    assert "incomplete_traces" in codes(judged)


def gathered(cursor: "duckdb.DuckDBPyConnection", window: Window) -> Evidence:
    """What a report on the window rests on."""
    read = read_circumstances(cursor, window, None, UNIT_KEYS)
    return gather(cursor, window, read, LeftOut.nothing(window))


def test_what_is_removed_meanwhile_leaves_the_watermark() -> None:
    """Requests that retention takes while a report runs are placed nowhere, and the others where they belong."""
    recording = recorded(shop(plants=())).decoded()
    spans = recording.spans
    mask = late("catalog", 60)(spans["service"].cast("string"), spans["kind"].cast("string"), spans["start_ns"])
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([replace(recording, spans=spans.filter(mask))])
        window = open_window(cursor, Period(), None)
        whole = gathered(cursor, window)
        old = window.begun < START_NS + DURATION_NS // 4
        cursor.register("old", pa.table({"trace_id": window.trace_ids.to_numpy()[old]}))
        cursor.execute("DELETE FROM spans WHERE trace_id IN (FROM old)")
        found = gathered(cursor, window)
    assert whole.watermark is not None
    assert found.watermark is not None
    assert abs(found.watermark - whole.watermark) < SECOND
    judged = ~old & (window.begun < found.watermark)
    np.testing.assert_array_equal(np.unique(found.facts.trace_hash), window.trace_hash[judged])


def test_periods_are_not_compared_past_the_watermark() -> None:
    """What follows which call is counted of the judged requests only, the last block's too."""
    recording = recorded(shop(plants=())).decoded()
    spans = recording.spans
    mask = late("catalog", 60)(spans["service"].cast("string"), spans["kind"].cast("string"), spans["start_ns"])
    middle = START_NS + DURATION_NS // 2
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([replace(recording, spans=spans.filter(mask))])
        window = open_window(cursor, Period(), None)
        periods = Period(START_NS, middle), Period(middle, END_NS)
        read = read_circumstances(cursor, window, None, UNIT_KEYS)
        found = gather(cursor, window, read, LeftOut.nothing(window), periods=periods)
    assert found.past_watermark > 0
    assert found.between is not None
    assert found.between.structure.requests["count"].sum() == found.facts.dur.size


def test_the_watermark_can_be_ignored() -> None:
    """Who asks for it gets everything judged, and is still told."""
    analysis = reported(late("catalog", 60), ignore_watermark=True)
    assert "past_watermark" in codes(analysis)
    assert analysis.document.window.traces == 4_000
    assert watermark(analysis) < parse_time(analysis.document.window.end or "", 0)


def test_a_period_past_the_watermark_is_said_to_be() -> None:
    """Its requests did start, and who asks gets them judged."""
    periods = {
        "baseline": Period(START_NS, END_NS - 600 * SECOND), "candidate": Period(END_NS - 40 * SECOND, END_NS)
    }  # fmt: skip
    found = reported(late("catalog", 60), **periods)
    (told,) = [w.message for w in found.warnings if w.code == "empty_period"]
    assert told.startswith("The requests of the candidate period began past the watermark")
    assert "--ignore-watermark" in told
    assert "empty_period" not in codes(reported(late("catalog", 60), **periods, ignore_watermark=True))


def test_what_lasts_is_a_change_and_no_lateness() -> None:
    """A service that has sent nothing for ten minutes is not waited for."""
    analysis = reported(late("catalog", 600))
    assert "past_watermark" not in codes(analysis)


def test_a_service_without_instrumentation_is_usual() -> None:
    """What misses all the time says nothing about the end."""
    analysis = reported(late("catalog", 10_000))
    assert "past_watermark" not in codes(analysis)


def test_calls_that_fail_are_not_waited_for() -> None:
    """A dependency that went down a minute ago must be judged, not waited for."""
    recording = recorded(shop(plants=())).decoded()
    spans = recording.spans
    last = pc.greater(spans["start_ns"], END_NS - 60 * SECOND)
    gone = pc.and_(last, pc.equal(spans["service"].cast("string"), "catalog"))
    calling = pc.and_(last, pc.equal(spans["kind"].cast("string"), "client"))
    status = pc.if_else(calling, "error", spans["status"].cast("string")).cast(spans.schema.field("status").type)
    spans = spans.set_column(spans.schema.get_field_index("status"), "status", status).filter(pc.invert(gone))
    with open_store(":memory:", mode="write") as store:
        store.append([replace(recording, spans=spans)])
        assert "past_watermark" not in codes(traceguard.report(store, draw_map=False))


def test_a_run_of_late_blocks_begins_where_the_first_of_them_does() -> None:
    """Blocks count from the last trace back; those with few requests neither make nor end a run."""
    begun = np.repeat(np.arange(20, dtype=np.int64) * 10, 30)
    late = begun >= 170
    assert late_from(begun, late, 10) == 161
    thin = ~((begun == 180) & (np.arange(begun.size) % 30 > 3))
    assert late_from(begun[thin], late[thin], 10) == 161
    assert late_from(begun, begun >= 90, 10) is None
    assert late_from(begun, begun < 0, 10) is None
