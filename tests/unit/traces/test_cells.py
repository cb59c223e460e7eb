"""Cells: the sums equal those of the rows, and merge by addition."""

from dataclasses import fields

import numpy as np
from builders.scenes import recorded

from traceguard.engine.circumstances import read_circumstances
from traceguard.engine.local import linked_partitions, open_window
from traceguard.settings import UNIT_KEYS
from traceguard.simulate import shop
from traceguard.store import open_store
from traceguard.traces.cells import BUCKETS, Cells, cells_of, outcomes_of, winsor_caps
from traceguard.traces.facts import Facts, concatenate, facts_of
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
    np.testing.assert_allclose(cells.squares[0], (facts.dur.astype(float) ** 2).sum(), rtol=1e-9)


def test_halves_merge_to_the_whole() -> None:
    """Cells of two halves of the requests add up to the cells of all."""
    facts, slices, buckets = checkout_facts()
    outcomes = outcomes_of(facts)
    caps = winsor_caps(facts, outcomes)
    active = np.full((facts.dur.size, 1), -1, dtype=np.int32)
    active[::3, 0] = 0

    def cells(keep: np.ndarray) -> Cells:
        marked = np.concatenate((slices[keep], [2])).astype(np.int32)[:-1]
        part = cells_of(
            facts.select(keep), outcomes, caps, marked, buckets[keep], np.ascontiguousarray(active[keep]), 1
        )
        assert part.n.shape[0] == 3
        return part

    odd = np.arange(facts.dur.size) % 2 == 1
    whole, merged = cells(np.ones(odd.size, dtype=np.bool_)), cells(odd) + cells(~odd)
    for f in fields(Cells):
        if f.name != "yy":
            np.testing.assert_array_equal(getattr(whole, f.name), getattr(merged, f.name))
    np.testing.assert_array_equal(whole.squares, merged.squares)
