"""What it would take to tell levels apart that came together: requests under one of them without the other.

Of levels that always come together the data shows one effect, and all of it is shared. Half of the requests asked for
would run under the first alone, half under the second alone; if one of the two makes the whole effect, a test between
the halves finds it (two-sided 5%, power 80%; Cohen 1988). The effect's own error tells the variance, so that users who
resemble each other are counted as they were here.
"""

import numpy as np

from traceguard import model
from traceguard.explain.verdict import Judged

_BOTH = 2.8016  # the standard normal quantiles of 0.975 and 0.8 together
_INTERVAL = 1.96
LEAST = 40  # requests: fewer are no test, however large the effect


def separation(judged: Judged, estimate: float, half: float) -> model.Separation | None:
    """How many requests and users would separate a cause's level from its company; None where it has none.

    `estimate` and `half` of its interval are the cause's effect at the entry point of `judged`.
    """
    if not judged.effects.inseparable or estimate == 0.0:
        return None
    where = judged.where
    affected = judged.effects.affected
    compared = affected * max(where.requests - affected, 1) / where.requests
    needed = 4.0 * compared * (_BOTH * half / _INTERVAL / estimate) ** 2
    requests = max(int(np.ceil(needed)), LEAST)
    return model.Separation(
        shared=1.0, requests=requests, units=max(int(np.ceil(requests * where.units / where.requests)), 2)
    )
