"""What is left of an outcome when the report has adjusted for time and for the levels that vary: the noise.

The report fits slices of time and all levels at once (Frisch and Waugh 1933, Lovell 1963: what they leave of the
outcome is all that the new level is estimated from). A flag that goes by user makes requests of one user alike, but in
an effect that the report knows and takes out, so it is no noise to the new one.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard.kernels import kernel

Floats = NDArray[np.float64]

_CLOSE = 1e-9  # of the largest eigenvalue: columns that the others and the slices make up


@kernel("Tuple((float64[:,::1], float64[:,::1]))(int16[:,::1], int64[::1], int64, int64)")
def _sums(active, slices, width, count):  # type: ignore[no-untyped-def]
    """By slice how many requests each level applies to, (s, p), and to how many each two apply, (p, p)."""
    by_slice, both = np.zeros((count, width)), np.zeros((width, width))
    for i in range(active.shape[0]):
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            by_slice[slices[i], j] += 1.0
            for b in range(active.shape[1]):
                k = active[i, b]
                if k < 0:
                    break
                both[j, k] += 1.0
    return by_slice, both


@kernel("float64[::1](int16[:,::1], float64[::1], int64)")
def _along(active, y, width):  # type: ignore[no-untyped-def]
    """The sum of `y` (r) over the requests to which each level applies, (p)."""
    total = np.zeros(width)
    for i in range(active.shape[0]):
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            total[j] += y[i]
    return total


@kernel("float64[::1](int16[:,::1], float64[::1])")
def _predicted(active, effect):  # type: ignore[no-untyped-def]
    """The sum of the effects (p) of the levels that apply to each request, (r)."""
    found = np.zeros(active.shape[0])
    for i in range(active.shape[0]):
        for a in range(active.shape[1]):
            j = active[i, a]
            if j < 0:
                break
            found[i] += effect[j]
    return found


@kernel("float64[::1](float64[::1], int64[::1], float64[::1])")
def _centred(y, slices, per_slice):  # type: ignore[no-untyped-def]
    """`y` (r) less the mean of its slice."""
    means = np.zeros(per_slice.size)
    for i in range(y.size):
        means[slices[i]] += y[i]
    means /= per_slice
    found = np.empty(y.size)
    for i in range(y.size):
        found[i] = y[i] - means[slices[i]]
    return found


@kernel("Tuple((float64, float64))(float64[::1], int64[::1], int64)")
def squares(rest, user, users):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The sum of squares of `rest` (r), and that of its sums by user."""
    total, alone = np.zeros(users), 0.0
    for i in range(rest.size):
        total[user[i]] += rest[i]
        alone += rest[i] * rest[i]
    together = 0.0
    for i in range(users):
        together += total[i] * total[i]
    return alone, together


class Residual:
    """The requests of one entry point in slices (r), under levels `active` (r, a) as `varying.Levels` holds them."""

    def __init__(self, slices: NDArray[np.int64], active: NDArray[np.int16]) -> None:
        self._slices, self._active = slices, np.ascontiguousarray(active)
        self._per_slice = np.maximum(np.bincount(slices), 1).astype(np.float64)
        self._width = int(active.max(initial=-1)) + 1
        by_slice, both = _sums(self._active, slices, self._width, self._per_slice.size)
        gram = both - (by_slice / self._per_slice[:, None]).T @ by_slice
        self._inverse = np.linalg.pinv(gram, rcond=_CLOSE, hermitian=True)
        self.lost = self._per_slice.size + int(np.linalg.matrix_rank(self._inverse, hermitian=True))

    def of(self, y: Floats) -> Floats:
        """What slices and levels leave of an outcome, shape r. `lost` is how many degrees of freedom they take."""
        rest = self._centred(y)
        if not self._width:
            return rest
        effect = self._inverse @ _along(self._active, rest, self._width)
        return rest - self._centred(_predicted(self._active, effect))

    def _centred(self, y: Floats) -> Floats:
        centred: Floats = _centred(y, self._slices, self._per_slice)
        return centred
