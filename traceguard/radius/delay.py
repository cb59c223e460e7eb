"""The delay that a what-if adds to each call: always the same, or drawn from a distribution.

`50ms` adds 50 ms; `lognormal(40ms,0.5)` has the median 40 ms and the standard deviation 0.5 of its logarithm;
`exponential(40ms)` has the mean 40 ms; `uniform(10ms,90ms)` has these bounds. A draw hangs on the ids of trace and span
alone, so that equal input gives equal answers, however it is partitioned.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from traceguard.errors import UsageError
from traceguard.units import parse_duration

LONGEST_NS = 24 * 3_600_000_000_000  # more is a typo, and sums of a request's delays must stay within 64 bits
_FORMS = "50ms, lognormal(40ms,0.5), exponential(40ms) or uniform(10ms,90ms)"
_CALL = re.compile(r"([a-z]+)\s*\(([^()]*)\)", re.IGNORECASE)
_FIELDS = {"lognormal": 2, "exponential": 1, "uniform": 2}
_WIDEST_SIGMA = 5.0


@dataclass(frozen=True, slots=True)
class Delay:
    """A delay, ns: `constant` (first), `lognormal` (median, sigma), `exponential` (mean), `uniform` (both bounds)."""

    kind: str = "constant"
    first: float = 0.0
    second: float = 0.0

    @property
    def mean_ns(self) -> float:
        """The mean of the distribution."""
        if self.kind == "lognormal":
            return self.first * math.exp(self.second**2 / 2)
        return (self.first + self.second) / 2 if self.kind == "uniform" else self.first

    @property
    def text(self) -> str:
        """As a user writes it, in milliseconds."""
        first = f"{self.first / 1e6:.12g}ms"
        if self.kind == "lognormal":
            return f"lognormal({first},{self.second:g})"
        if self.kind == "uniform":
            return f"uniform({first},{self.second / 1e6:.12g}ms)"
        return f"exponential({first})" if self.kind == "exponential" else first

    def scaled(self, mean_ns: float) -> "Delay":
        """The same shape with another mean; a delay of nothing becomes a constant one."""
        if self.mean_ns <= 0:
            return Delay(first=mean_ns)
        factor = mean_ns / self.mean_ns
        return Delay(self.kind, self.first * factor, self.second * (factor if self.kind == "uniform" else 1.0))

    def draw(self, key: NDArray[np.uint64]) -> NDArray[np.int64]:
        """One delay a call in whole nanoseconds, none negative; `key` (c) is what a call is known by."""
        if self.kind == "constant":
            return np.full(key.size, round(self.first), dtype=np.int64)
        even = (_mixed(key) >> np.uint64(11)).astype(np.float64)
        even = (even + 0.5) / 2.0**53  # strictly between 0 and 1
        if self.kind == "lognormal":
            drawn = self.first * np.exp(self.second * special.ndtri(even))
        elif self.kind == "exponential":
            drawn = -self.first * np.log1p(-even)
        else:
            drawn = self.first + (self.second - self.first) * even
        whole: NDArray[np.int64] = np.rint(np.minimum(drawn, LONGEST_NS)).astype(np.int64)
        return whole


def parse_delay(text: str) -> Delay:
    """A delay as a user writes it; UsageError says what is wrong with it."""
    form = _CALL.fullmatch(text.strip())
    if form is None:
        if "(" in text or ")" in text:
            raise UsageError(f"{text!r} is not a delay; write {_FORMS}.")
        return Delay(first=float(_time(text, text)))
    name, values = form[1].lower(), [value.strip() for value in form[2].split(",")]
    if name not in _FIELDS:
        raise UsageError(f"{form[1]!r} is not a distribution of delays; write {_FORMS}.")
    if len(values) != _FIELDS[name]:
        raise UsageError(f"{name} takes {_FIELDS[name]} values, not {len(values)}; write {_FORMS}.")
    first = float(_time(values[0], text))
    if name == "exponential":
        return Delay(name, first)
    if name == "lognormal":
        return Delay(name, first, _sigma(values[1], text))
    last = float(_time(values[1], text))
    if last < first:
        raise UsageError(f"The delay {text!r} ends below where it begins; write the shorter bound first.")
    return Delay(name, first, last)


def _time(value: str, text: str) -> int:
    found = parse_duration(value)
    if found < 0:
        raise UsageError(f"The delay {text!r} is negative; a what-if adds time, such as 50ms.")
    if found > LONGEST_NS:
        raise UsageError(f"The delay {text!r} is longer than a day; write a shorter one, such as 50ms.")
    return found


def _sigma(value: str, text: str) -> float:
    try:
        sigma = float(value)
    except ValueError:
        sigma = math.nan
    if not 0.0 <= sigma <= _WIDEST_SIGMA:
        raise UsageError(
            f"The delay {text!r} needs the standard deviation of its logarithm, a number from 0 to {_WIDEST_SIGMA:g},"
            " such as lognormal(40ms,0.5)."
        )
    return sigma


def _mixed(key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit of a key over all (the finaliser of Steele, Lea and Flood 2014, SplitMix)."""
    mixed = key + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
