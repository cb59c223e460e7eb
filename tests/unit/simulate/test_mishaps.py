"""Telemetry that was sampled, lost, mistimed or shuffled on its way still fits together."""

import numpy as np
import polars as pl
import pytest

from traceguard.otlp.columns import Decoded
from traceguard.simulate import generate, shop
from traceguard.simulate.mishaps import head_sampled, lossy, shuffled, skewed
from traceguard.traces.sampling import threshold_count

START_NS, HOUR_NS = 1_780_000_000_000_000_000, 3_600_000_000_000


@pytest.fixture(scope="module")
def body() -> Decoded:
    """An hour of the shop."""
    return generate(shop(), requests=2000, seed=7, start_ns=START_NS, duration_ns=HOUR_NS).decoded()


def frame(table: object) -> pl.DataFrame:
    """A table as a frame."""
    return pl.DataFrame(pl.from_arrow(table))  # type: ignore[arg-type]


def test_a_sampler_keeps_whole_traces_and_says_at_what_rate(body: Decoded) -> None:
    """What it kept stands for what there was, and nothing of a trace that was not kept remains."""
    kept = head_sampled(body, before=0.5, after=0.125, turn_ns=START_NS + HOUR_NS // 2, seed=1)
    before, after = frame(body.spans), frame(kept.spans)
    sizes = before.group_by("trace_id").len().join(after.group_by("trace_id").len(), on="trace_id")
    assert (sizes["len"] == sizes["len_right"]).all()
    states = after.unique("trace_id")["trace_state"].str.strip_prefix("ot=th:")
    assert sum(threshold_count(state) for state in states) == pytest.approx(2000, rel=0.1)
    assert set(states) == {"8", "e"}
    left = set(after["trace_id"])
    for table in (kept.flag_records, kept.correlations, kept.logs):
        assert set(frame(table)["trace_id"]) <= left


def test_lost_spans_take_their_events_along(body: Decoded) -> None:
    """An evaluation survives its span only as a log record."""
    left = lossy(body, share=0.1, seed=1)
    assert left.spans.num_rows == pytest.approx(0.9 * body.spans.num_rows, rel=0.02)
    there = set(frame(left.spans)["span_id"])
    logged = set(frame(left.logs)["span_id"])
    assert left.logs.num_rows == body.logs.num_rows
    assert set(frame(left.flag_records)["span_id"]) <= there | logged
    assert set(frame(left.correlations)["span_id"]) <= there


def test_each_instance_has_one_wrong_clock(body: Decoded) -> None:
    """Spans, evaluations and log records of an instance move together, and durations stay."""
    moved = skewed(body, spread_ms=50.0, seed=1)
    before, after = frame(body.spans), frame(moved.spans)
    offsets = before.select(pl.col("instance").cast(pl.String), off=after["start_ns"] - before["start_ns"])
    assert (offsets.group_by("instance").agg(pl.col("off").n_unique())["off"] == 1).all()
    assert 10e6 < np.std(offsets.unique()["off"].to_numpy()) < 200e6
    assert (before["dur_ns"] == after["dur_ns"]).all()
    shift = dict(zip(before["span_id"], offsets["off"], strict=True))
    evaluated = frame(moved.flag_records)["time_ns"] - frame(body.flag_records)["time_ns"]
    assert evaluated.to_list() == [shift[span] for span in frame(body.flag_records)["span_id"]]


def test_shuffled_telemetry_is_all_there(body: Decoded) -> None:
    """Every row arrives once, in another order."""
    pieces = shuffled(body, pieces=3, seed=1)
    spans = pl.concat([frame(piece.spans) for piece in pieces])
    assert len(pieces) == 3
    assert spans["span_id"].to_list() != frame(body.spans)["span_id"].to_list()
    assert sorted(spans["span_id"]) == sorted(frame(body.spans)["span_id"])
    assert sum(piece.received for piece in pieces) == body.received
    assert sum(piece.logs.num_rows for piece in pieces) == body.logs.num_rows
