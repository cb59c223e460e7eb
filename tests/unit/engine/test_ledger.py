"""A window's ledger gives back the facts that were written, in memory or on disk, whole or in part."""

from dataclasses import fields, replace

import numpy as np
import pytest
from builders.disk import full_at
from builders.facts import concatenate
from hypothesis import given
from hypothesis import strategies as st

from traceguard.engine.ledger import Ledger, Writer
from traceguard.errors import StoreError
from traceguard.traces.facts import Facts, Requests


def random_facts(requests: int, seed: int) -> Facts:
    """Facts of requests with up to five rows each, some of them repeated attempts."""
    draw = np.random.default_rng(seed)
    first = np.concatenate(([0], np.cumsum(draw.integers(0, 6, requests)))).astype(np.int64)
    rows = int(first[-1])
    again = (draw.random(rows) < 0.2).astype(np.int32)
    of_request = {
        f.name: draw.integers(0, 5, requests).astype(getattr(Requests.none(), f.name).dtype) for f in fields(Requests)
    }
    return Facts(
        **of_request, first=first, component=draw.integers(0, 9, rows).astype(np.int32),
        time=draw.integers(0, 99, rows), calls=draw.integers(0, 3, rows).astype(np.int32),
        retries=again, attempts=again * np.int64(7),
    )  # fmt: skip


def written(parts: list[Facts], *, on_disk: bool) -> Ledger:
    """The ledger of several partitions."""
    writer = Writer(10**9 if on_disk else 0)
    for part in parts:
        writer.add(part.by_entry())
    return writer.ledger()


def assert_same(found: Facts, wanted: Facts) -> None:
    """Every column is equal."""
    for f in fields(Facts):
        np.testing.assert_array_equal(getattr(found, f.name), getattr(wanted, f.name), err_msg=f.name)


@pytest.mark.parametrize("on_disk", [False, True])
@given(sizes=st.lists(st.integers(0, 30), max_size=4), seed=st.integers(0, 10**6))
def test_any_part_comes_back_as_it_was_written(on_disk: bool, sizes: list[int], seed: int) -> None:
    """What is selected from the ledger is what would be selected from the facts."""
    parts = [random_facts(size, seed + i) for i, size in enumerate(sizes)]
    found = written(parts, on_disk=on_disk)
    whole = concatenate([random_facts(0, 0), *(part.by_entry() for part in parts)])
    assert_same(found.facts(), whole)
    keep = np.random.default_rng(seed).random(whole.dur.size) < 0.4
    again = keep[keep] & (np.arange(int(keep.sum())) % 2 == 0)
    assert_same(found.select(keep).facts(), whole.select(keep))
    assert_same(found.select(keep).select(again).facts(), whole.select(keep).select(again))


@given(seed=st.integers(0, 10**6))
def test_repeats_are_those_of_the_selected_requests(seed: int) -> None:
    """Repeated attempts are told by request, component and time without their other rows being read."""
    facts = random_facts(40, seed).by_entry()
    keep = np.random.default_rng(seed).random(40) < 0.5
    repeats, wanted = written([facts], on_disk=True).select(keep).repeats(), facts.select(keep)
    rows = np.flatnonzero(wanted.retries)
    np.testing.assert_array_equal(repeats.request, np.searchsorted(wanted.first, rows, side="right") - 1)
    np.testing.assert_array_equal(repeats.component, wanted.component[rows])
    np.testing.assert_array_equal(repeats.attempts, wanted.attempts[rows])


def test_few_rows_stay_in_memory() -> None:
    """Only what would take much memory is written to a file."""
    assert not Writer(1_000).ledger().rows.on_disk
    assert Writer(100_000_000).ledger().rows.on_disk


def test_requests_may_be_held_against_another_clock() -> None:
    """Columns of requests can be replaced, as comparisons of periods do with their start."""
    found = written([random_facts(10, 1)], on_disk=True)
    moved = replace(found, requests=replace(found.requests, start=found.requests.start + 5))
    np.testing.assert_array_equal(moved.facts().start, found.facts().start + 5)


def test_a_full_disk_is_told_in_a_sentence() -> None:
    """A folder that cannot hold the file is named with what to do."""
    with pytest.raises(StoreError, match=r"cannot hold the facts of the requests .*TMPDIR"), full_at(100):
        written([random_facts(10, 1)], on_disk=True)
