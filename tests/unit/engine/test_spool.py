"""Arrays come back as they were put, from memory and from disk."""

import numpy as np
import pytest

from traceguard.engine.spool import Spool

KIND = np.dtype([("a", np.int32), ("b", np.bool_), ("c", np.int64)])


@pytest.mark.parametrize("memory", [0, 100, 1_000_000])
def test_groups_come_back_whole_and_in_part(memory: int) -> None:
    """Whatever fits into memory, whatever the types; reading does not disturb what is put later."""
    spool = Spool("numbers", memory_bytes=memory)
    rng = np.random.default_rng(1)
    groups = []
    for size in (5, 0, 300):
        rows = np.zeros(size, dtype=KIND)
        rows["a"], rows["c"] = rng.integers(0, 9, size), rng.integers(0, 1 << 60, size)
        groups.append([rows, rng.random(size), np.arange(size) % 2 == 0])
        assert spool.put(groups[-1]) == len(groups) - 1
        for mine, found in zip(groups[0], spool.take(0), strict=True):
            assert (mine == found).all()
    assert len(spool) == 3
    for number, group in enumerate(groups):
        size = group[0].size
        for mine, found, part in zip(group, spool.take(number), spool.part(number, size // 3, size // 2), strict=True):
            assert (found.dtype, found.size) == (mine.dtype, size)
            assert (mine == found).all()
            assert (mine[size // 3 : size // 2] == part).all()
