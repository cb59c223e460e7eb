"""Parts of a change add up to it, whatever the sides are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceguard.explain.count_and_cost import count_part

ROWS = st.lists(
    st.tuples(
        st.integers(0, 30), st.booleans(), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 50), st.floats(0, 50)
    ),
    min_size=1, max_size=12, unique_by=lambda row: (row[0], row[1]),
)  # fmt: skip


@given(ROWS)
def test_count_is_a_midpoint_and_cost_the_rest(rows: list[tuple[int, bool, float, float, float, float]]) -> None:
    """Count is Δcalls x mean cost and cost mean calls x Δcost, of the self row's calls for inbound time."""
    rows = sorted(rows, key=lambda row: 2 * row[0] + row[1])
    components = np.array([2 * operation + inbound for operation, inbound, *_ in rows], dtype=np.int32)
    before, after, made, makes = (np.array([row[k] for row in rows]) for k in range(2, 6))
    count = count_part(components, (before, after), (made, makes))
    own = {operation: row for operation, inbound, *row in rows if not inbound}
    for i, (operation, _, time, now, _, _) in enumerate(rows):
        calls, calling = own[operation][2:] if operation in own else (0.0, 0.0)
        if calls > 1e-6 and calling > 1e-6:
            each, costs = time / calls, now / calling
            assert np.isclose(count[i], (calling - calls) * (each + costs) / 2, rtol=1e-9, atol=1e-9)
            assert np.isclose(now - time - count[i], (calling + calls) / 2 * (costs - each), rtol=1e-6, atol=1e-3)


def test_what_vanishes_or_appears_is_all_count() -> None:
    """A side without calls has no time a call, so the other side's stands for it."""
    components = np.array([0, 1, 2], dtype=np.int32)
    before, after = np.array([30.0, 6.0, 0.0]), np.array([0.0, 0.0, 8.0])
    calls = (np.array([3.0, 0.0, 0.0]), np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(count_part(components, (before, after), calls), [-30.0, -6.0, 8.0])
