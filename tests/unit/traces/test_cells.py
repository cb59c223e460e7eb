"""Cells: the sums equal those of the rows, and merge by addition."""

from dataclasses import fields

import numpy as np
import pytest
from builders.facts import concatenate
from builders.scenes import recorded
from hypothesis import given
from hypothesis import strategies as st

from traceguard.engine.circumstances import read_circumstances
from traceguard.engine.local import linked_partitions, open_window
from traceguard.settings import UNIT_KEYS
from traceguard.simulate import shop
from traceguard.store import open_store
from traceguard.traces.cells import BUCKETS, Cells, cells_of, outcomes_of, winsor_caps
from traceguard.traces.facts import Facts, facts_of
from traceguard.units import Period


def checkout_facts() -> tuple[Facts, np.ndarray, np.ndarray]:
    """Facts of one busy entry point with their slices and buckets."""
    with open_store(":memory:", mode="write") as store:
        store.append([recorded(shop(), requests=1_500).decoded()])
        with store.cursor() as cursor:
            window = open_window(cursor, Period(), None)
            read = read_circumstances(cursor, window, None, UNIT_KEYS)
            facts = concatenate([facts_of(linked) for linked in linked_partitions(cursor, window)])
    facts = facts.select(facts.entry == np.bincount(facts.entry).argmax())
    unit = read.circumstances.unit[read.circumstances.rows_of(facts.trace_hash)]
    slices = (np.arange(facts.dur.size) % 3).astype(np.int32)
    return facts, slices, (unit % np.uint64(BUCKETS)).astype(np.int32)


def test_sums_equal_those_of_the_rows() -> None:
    """Every sum of the cells is the sum over requests, to the last nanosecond."""
    facts, slices, buckets = checkout_facts()
    outcomes = outcomes_of(facts)
    caps = winsor_caps(facts, outcomes)
    applies = (np.arange(facts.dur.size) % 2).astype(np.int32)
    active = np.where(applies, 0, -1).astype(np.int32)[:, None].copy()
    cells = cells_of(facts, outcomes, caps, slices, buckets, active, 1)
    assert cells.n.sum() == facts.dur.size
    assert cells.sy[..., 0].sum() == facts.dur.sum()
    assert cells.sy[..., 1].sum() == np.minimum(facts.dur, caps[0]).sum()
    assert cells.sy[..., 2].sum() == facts.failed.sum()
    assert cells.sy[..., outcomes.histogram].sum() == facts.dur.size
    assert cells.sy[..., outcomes.part(0)].sum() == facts.dur.sum()
    assert cells.sy[..., outcomes.part(2)].sum() == facts.calls.sum()
    assert cells.sy[..., outcomes.part(3)].sum() == facts.failed.sum()
    assert cells.xy[:, 0, 0].sum() == facts.dur[applies == 1].sum()
    assert cells.sx.sum() == applies.sum()
    np.testing.assert_allclose(cells.totals().squares[0], (facts.dur.astype(float) ** 2).sum(), rtol=1e-9)


@pytest.mark.parametrize("heaviest", [1, 7])
def test_halves_merge_to_the_whole(heaviest: int) -> None:
    """Cells of two halves of the requests add up to the cells of all, weighted or not."""
    facts, slices, buckets = checkout_facts()
    outcomes = outcomes_of(facts)
    caps = winsor_caps(facts, outcomes)
    active = np.full((facts.dur.size, 1), -1, dtype=np.int32)
    active[::3, 0] = 0
    weight = None if heaviest == 1 else np.arange(facts.dur.size) % heaviest + 1

    def cells(keep: np.ndarray) -> Cells:
        marked = np.concatenate((slices[keep], [2])).astype(np.int32)[:-1]
        part = cells_of(
            facts.select(keep), outcomes, caps, marked, buckets[keep], np.ascontiguousarray(active[keep]), 1,
            None if weight is None else weight[keep],
        )  # fmt: skip
        assert part.n.shape[0] == 3
        return part

    odd = np.arange(facts.dur.size) % 2 == 1
    whole, merged = cells(np.ones(odd.size, dtype=np.bool_)), cells(odd) + cells(~odd)
    for f in fields(Cells):
        if f.name not in ("yy", "wwyy"):
            np.testing.assert_array_equal(getattr(whole, f.name), getattr(merged, f.name))
    np.testing.assert_array_equal(whole.totals().squares, merged.totals().squares)


# Sums of 24 requests stay within 64 bits, as `weights` sees to.
weighing = st.lists(st.integers(1, 2**15), min_size=1, max_size=8)
durations = st.lists(st.integers(0, 2**42), min_size=1, max_size=8)


@given(weighing, durations, st.integers(0, 7))
def test_weighted_sums_equal_those_of_exact_arithmetic(
    weight_of: list[int], duration_of: list[int], shift: int
) -> None:
    """Every sum of weighted requests is that of Python's integers; large squares to a hundredth."""
    r = 24
    weight = np.array([weight_of[i % len(weight_of)] for i in range(r)], dtype=np.int64)
    facts = made_facts(np.array([duration_of[(i + shift) % len(duration_of)] for i in range(r)], dtype=np.int64))
    outcomes = outcomes_of(facts)
    slices, buckets = (np.arange(r, dtype=np.int32) % m for m in (3, 5))
    active = np.where(np.arange(r) % 2, 0, -1).astype(np.int32)[:, None].copy()
    cells = cells_of(facts, outcomes, winsor_caps(facts, outcomes, weight=weight), slices, buckets, active, 1, weight)
    w, y = weight.tolist(), facts.dur.tolist()
    assert cells.n[1, 2] == sum(w[i] for i in range(r) if i % 3 == 1 and i % 5 == 2)
    assert cells.sy[2, :, 0].sum() == sum(w[i] * y[i] for i in range(r) if i % 3 == 2)
    assert cells.sy[..., 2].sum() == sum(w[i] for i in range(r) if facts.failed[i])
    assert cells.sx.sum() == cells.xx.sum() == sum(w[1::2])
    assert cells.xy[:, 0, 0].sum() == sum(a * b for a, b in zip(w[1::2], y[1::2], strict=True))
    assert cells.ww[0] == sum(a * a for a in w)
    assert int(cells.wy[0, 0]) + (int(cells.wy[1, 0]) << 31) == sum(a * a * b for a, b in zip(w, y, strict=True))
    np.testing.assert_allclose(
        cells.totals().squares[0], float(sum(a * b * b for a, b in zip(w, y, strict=True))), rtol=1e-2
    )
    # Failures are exact: no square of theirs is large.
    fails = facts.failed.astype(float)
    mean = (weight * fails).sum() / weight.sum()
    inflated = (weight.astype(float) ** 2 * (fails - mean) ** 2).sum() / (weight * (fails - mean) ** 2).sum()
    np.testing.assert_allclose(cells.totals().inflation()[2], max(inflated, 1.0), rtol=1e-6)
    np.testing.assert_allclose(
        cells.totals().event_weight(slice(2, 3))[0], (weight[facts.failed] ** 2).sum() / weight[facts.failed].sum()
    )


def test_weights_of_one_change_nothing() -> None:
    """Requests that all count once give the very tables that unweighted ones give."""
    facts, slices, buckets = checkout_facts()
    outcomes = outcomes_of(facts)
    caps = winsor_caps(facts, outcomes)
    active = np.full((facts.dur.size, 1), -1, dtype=np.int32)
    ones = np.ones(facts.dur.size, dtype=np.int64)
    assert caps[0] == winsor_caps(facts, outcomes, weight=ones)[0]
    plain, weighed = (cells_of(facts, outcomes, caps, slices, buckets, active, 1, w) for w in (None, ones))
    for f in fields(Cells):
        if f.name != "wy":
            np.testing.assert_array_equal(getattr(plain, f.name), getattr(weighed, f.name))
    np.testing.assert_allclose(plain.totals().inflation(), 1.0)
    np.testing.assert_allclose(weighed.totals().inflation(), 1.0, rtol=1e-6)


def made_facts(dur: np.ndarray) -> Facts:
    """Requests of one service that take these nanoseconds; every third fails."""
    r = dur.size
    failed = np.arange(r) % 3 == 0
    zeros = np.zeros(r, dtype=np.int32)
    return Facts(
        trace_hash=np.arange(r, dtype=np.uint64), entry=zeros, environment=zeros, start=np.arange(r), dur=dur,
        failed=failed, origin=np.where(failed, 0, -1).astype(np.int32), detached=np.zeros(r, dtype=np.bool_),
        first=np.arange(r + 1), component=zeros, time=dur, calls=np.ones(r, dtype=np.int32),
        retries=zeros, attempts=np.zeros(r, dtype=np.int64), timed_out=np.zeros(r, dtype=np.bool_),
        path=np.zeros(r, dtype=np.uint64), incomplete=np.zeros(r, dtype=np.bool_),
        ambiguous=np.zeros(r, dtype=np.int64), overlapped=np.zeros(r, dtype=np.int64),
        handled=zeros,
    )  # fmt: skip
