"""Spans on disk while they are sorted into partitions."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from builders.disk import full_at
from builders.scenes import recorded

from traceguard.engine.local import open_window, stream
from traceguard.engine.spill import MEMORY_BYTES, Spill
from traceguard.errors import StoreError
from traceguard.simulate import shop
from traceguard.store import open_store
from traceguard.units import Period


@contextmanager
def spilled(size: int = MEMORY_BYTES) -> Iterator[tuple[Spill, int]]:
    """The spans of twenty requests in two partitions, on disk if `size` are expected, and how many there are."""
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([recorded(shop(), requests=20).decoded()])
        window = open_window(cursor, Period(), None)
        partition = (np.arange(window.spans.size) >= 10).astype(np.int32)
        with Spill(window.lookup, partition, window.name_codes["name"].to_numpy(), size) as spill:
            spill.take(stream(cursor, "partition_spans"))
            yield spill, window.rows


def test_the_disk_gives_back_what_memory_would() -> None:
    """Partitions hold the same spans wherever they wait."""
    with spilled() as (on_disk, rows), spilled(0) as (in_memory, _):
        partitions = [(on_disk.partition(n), in_memory.partition(n)) for n in range(2)]
    assert sum(found.shape[0] for found, _ in partitions) == rows
    for found, expected in partitions:
        np.testing.assert_array_equal(found, expected)


def test_names_are_numbered_the_same_way_again() -> None:
    """A window that is opened again has the same numbers, in the order of the hashes."""
    with open_store(":memory:", mode="write") as store, store.cursor() as cursor:
        store.append([recorded(shop(), requests=20).decoded()])
        names = [open_window(cursor, Period(), None).name_codes["name"] for _ in range(3)]
    assert names[0].is_sorted()
    assert all(again.equals(names[0]) for again in names)


@pytest.mark.parametrize("size", [0, 1_000, 3_001], ids=["nothing", "the first bytes", "all but the last"])
def test_a_full_disk_says_what_to_do(size: int) -> None:
    """Whichever bytes no longer fit, the error names the folder and the setting, and closing the files is quiet."""
    with (
        pytest.raises(StoreError, match=r"cannot hold the spans.*name another folder with TMPDIR\.$"),
        full_at(size),
        spilled() as (spill, _),
    ):
        spill.partition(0)
