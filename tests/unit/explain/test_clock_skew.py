"""Clocks that differ are estimated and said, never corrected; what would not hold without the difference is named."""

from dataclasses import replace

import pyarrow.compute as pc
import pytest
from builders.scenes import recorded

import traceguard
from traceguard.report import Analysis
from traceguard.simulate import Plant, shop
from traceguard.store import open_store

FLAG = ("new-pricing", "on")


def reported(plant: Plant, ahead_ms: float) -> Analysis:
    """The report on a shop with one plant in which the clock of the service pricing is ahead."""
    recording = recorded(shop(plants=(plant,)), requests=3_000).decoded()
    spans = recording.spans
    late = pc.if_else(pc.equal(spans["service"].cast("string"), "pricing"), int(ahead_ms * 1e6), 0)
    spans = spans.set_column(spans.schema.get_field_index("start_ns"), "start_ns", pc.add(spans["start_ns"], late))
    with open_store(":memory:", mode="write") as store:
        store.append([replace(recording, spans=spans)])
        return traceguard.report(store, draw_map=False)


@pytest.mark.parametrize("ahead_ms", [5_000.0, -250.0])
def test_the_planted_offset_is_estimated(ahead_ms: float) -> None:
    """Every pair of hosts into or out of the service carries its offset, within bounds that hold it."""
    found = reported(Plant("pricing", "ComputeQuote", flags=(FLAG,), inbound_ms=30), ahead_ms).document.clock_skew
    assert {s.callee.service for s in found} >= {"pricing"}
    for skew in found:
        truth = ahead_ms if skew.callee.service == "pricing" else -ahead_ms
        assert "pricing" in (skew.callee.service, skew.caller.service)
        assert skew.low_ms <= truth <= skew.high_ms
        assert abs(skew.offset_ms - truth) < 2.0


def test_a_split_that_rests_on_the_clock_is_named() -> None:
    """The service's own delay shows as inbound time where its clock is ahead, and the report says so."""
    analysis = reported(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30), 5_000.0)
    warnings = {w.code: w.message for w in analysis.warnings}
    assert (analysis.causes[0].service, analysis.causes[0].locus) == ("pricing", "inbound")
    assert "pricing ComputeQuote (inbound, new-pricing=on)" in warnings["sign_depends_on_skew"]


def test_a_cause_that_holds_either_way_is_not_named() -> None:
    """A delay on the way into the service is inbound time whatever the clocks say."""
    analysis = reported(Plant("pricing", "ComputeQuote", flags=(FLAG,), inbound_ms=30), 5_000.0)
    assert (analysis.causes[0].service, analysis.causes[0].locus) == ("pricing", "inbound")
    assert "sign_depends_on_skew" not in [w.code for w in analysis.warnings]


def test_clocks_in_step_are_not_skewed() -> None:
    """A fleet whose server spans lie inside their callers' spans has nothing to say about clocks."""
    analysis = reported(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30), 0.0)
    assert analysis.document.clock_skew == []
    assert not {"clock_skew", "sign_depends_on_skew"} & {w.code for w in analysis.warnings}
