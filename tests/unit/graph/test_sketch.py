"""The latency sketch: its error, and that it merges by addition."""

import pytest

from traceguard.graph.sketch import RELATIVE_ERROR, Sketch


def test_sketches_merge_by_addition() -> None:
    """The sum holds what one sketch of all calls would, also where the bins lie apart."""
    one, other = Sketch.of({3: 2, 5: 1}), Sketch.of({-1: 4, 3: 1})
    assert one + other == Sketch.of({-1: 4, 3: 3, 5: 1})
    assert one + Sketch() == one == Sketch() + one
    assert (one + other).calls == 8


def test_sketch_survives_its_document() -> None:
    """What stands in JSON is the whole sketch."""
    sketch = Sketch.of({320: 2, 322: 7})
    assert sketch.to_dict() == {"low_bin": 320, "counts": [2, 0, 7]}
    assert Sketch.from_dict(sketch.to_dict()) == sketch


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 1.0])
def test_quantile_is_within_the_relative_error(q: float) -> None:
    """The stated error holds at every rank: 1 ms to 100 ms, binned as the store does."""
    import math

    durations = sorted(1_000_000 + 990_000 * i for i in range(101))
    bins = [math.floor(math.log2(d) * 16) for d in durations]
    sketch = Sketch.of({b: bins.count(b) for b in bins})
    exact = durations[math.floor(q * 100)] / 1e6
    found = sketch.quantile_ms(q)
    assert found is not None
    assert abs(found / exact - 1) <= RELATIVE_ERROR


def test_no_calls_have_no_quantile() -> None:
    """An empty sketch answers None."""
    assert Sketch().quantile_ms(0.5) is None
