"""Objectives: what an entry point has to keep, given as `--slo`.

p99<800ms                            a quantile: 99% of requests take less than 800 ms
latency<800ms for 99% in 28d         the same, with the window that the budget is for
mean<300ms
error_rate<1% in 28d                 at least 99% of requests do not fail
POST /checkout: p99<800ms            only this entry point; its operation, its service, or both
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from traceguard import model
from traceguard.errors import UsageError
from traceguard.units import parse_duration, parse_fraction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Metric = Literal["latency", "mean", "error_rate"]

_EXAMPLES = "p99<800ms, mean<300ms, error_rate<1%, or 'POST /checkout: latency<800ms for 99% in 28d'"
_FORM = re.compile(
    r"(?:(?P<entry>.*\S)\s*:\s*)?(?P<metric>p\d+(?:\.\d+)?|latency|mean|error_rate)\s*(?P<sign><=?)\s*"
    r"(?P<limit>-?[\d.]+\s*(?:ns|us|µs|ms|s|m|h|%)?)"
    r"(?:\s+for\s+(?P<target>[\d.]+\s*%?))?(?:\s+in\s+(?P<window>\d+(?:\.\d+)?\s*[smhd]))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective. `target` is the share of requests that have to be good; a mean has none.

    `limit` is in nanoseconds, of an error rate it is 1 - target. `entry` names an
    operation, a service or both, None for every entry point.
    """

    text: str
    metric: Metric
    limit: float
    target: Fraction | None = None
    entry: str | None = None
    window_ns: int | None = None
    shown: str = ""  # the metric as the user named it
    included: bool = False  # `<=`

    @property
    def bound(self) -> float:
        """What a good latency lies below, ns."""
        return self.limit + self.included

    @property
    def budget(self) -> float | None:
        """The share of requests that may be bad."""
        return None if self.target is None else float(1 - self.target)

    def concerns(self, entry: model.Entry) -> bool:
        """Whether it is about an entry point."""
        return self.entry in {None, entry.operation, entry.service, f"{entry.service} {entry.operation}"}


def parse_objective(text: str, *, files: bool = False) -> Objective:
    """An objective as a user writes it; UsageError says what is wrong with it. `files` may be named as well."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        file = ", or name an OpenSLO file (.yaml)" if files else ""
        raise UsageError(f"{text!r} is not an objective; write {_EXAMPLES}{file}.")
    window = None if form["window"] is None else parse_duration(form["window"])
    if window == 0:
        raise UsageError(f"The objective {text!r} has a window of no length; write one such as 28d.")
    given, metric = form["metric"], form["metric"]
    if metric == "error_rate":
        if form["target"] is not None:
            raise UsageError(f"The objective {text!r} states its share twice; write error_rate<1% without 'for'.")
        allowed = _share(form["limit"], text)
        return Objective(text.strip(), "error_rate", float(allowed), 1 - allowed, form["entry"], window, given)
    limit, included = _limit(form["limit"], text), form["sign"] == "<="
    if metric == "mean":
        if form["target"] is not None or window is not None:
            raise UsageError(f"The objective {text!r} is about a mean, which has no share of good requests: leave the"
                             " rest out.")  # fmt: skip
        return Objective(text.strip(), "mean", limit, None, form["entry"], None, given, included)
    if metric == "latency":
        if form["target"] is None:
            raise UsageError(f"The objective {text!r} does not say for how many requests; write latency<800ms for 99%.")
        target = _share(form["target"], text)
    else:
        if form["target"] is not None:
            raise UsageError(
                f"The objective {text!r} states its share twice; write p99<800ms or latency<800ms for 99%."
            )
        target = Fraction(metric[1:]) / 100
    if not 0 < target < 1:
        raise UsageError(f"The objective {text!r} needs a share between 0% and 100%, both excluded.")
    return Objective(text.strip(), "latency", limit, target, form["entry"], window, given, included)


def parse_objectives(given: "str | Path | Objective | Iterable[str | Path | Objective]") -> tuple[Objective, ...]:
    """Objectives from texts and from OpenSLO files, in the order given; each one once."""
    from traceguard.radius.openslo import is_file, read

    several: Sequence[str | Path | Objective] = (
        [given] if isinstance(given, str | Path | Objective) else list(given)
    )  # fmt: skip
    found: list[Objective] = []
    for each in several:
        if isinstance(each, Objective):
            found.append(each)
        elif isinstance(each, Path) or is_file(each):
            found += read(Path(each))
        else:
            found.append(parse_objective(each, files=True))
    return tuple(dict.fromkeys(found))


def _limit(text: str, objective: str) -> float:
    try:
        limit = parse_duration(text.replace(" ", ""))
    except UsageError as error:
        raise UsageError(f"The objective {objective!r} needs a limit with a unit: {error}") from None
    if limit <= 0:
        raise UsageError(f"The objective {objective!r} has a limit of no length; write one such as 800ms.")
    return limit


def _share(text: str, objective: str) -> Fraction:
    number = text.replace(" ", "")
    try:
        parse_fraction(number, "share")
        return Fraction(number[:-1]) / 100 if number.endswith("%") else Fraction(number)
    except (UsageError, ValueError):
        raise UsageError(
            f"The objective {objective!r} has {text.strip()!r} where a share from 0% to 100% is needed, such as 1%."
        ) from None
