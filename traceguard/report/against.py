"""A report held against an older one: which causes are new, which are gone, which changed.

A cause is the same where factors, service, operation, locus and metric are. It changed where the two intervals do not
overlap: what overlaps may well be the same effect.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from traceguard import model
from traceguard.errors import InputError, UsageError
from traceguard.report.results import Analysis
from traceguard.report.tables import Table
from traceguard.report.wording import CHANGES, clean, effect_text, factors_name, what

if TYPE_CHECKING:
    from collections.abc import Mapping


class OlderEffect(BaseModel):
    """An effect as JSON writes it: what was not finite is null there."""

    estimate: float | None
    low: float | None
    high: float | None
    unit: Literal["ms", "fraction", "calls"]

    def effect(self) -> model.Effect:
        """The effect as it was."""
        low, high = (-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)
        return model.Effect(
            estimate=math.nan if self.estimate is None else self.estimate, low=low, high=high, unit=self.unit
        )


class OlderCause(BaseModel):
    """What is compared of a cause; other versions of the program may write more or less beside it."""

    factors: list[model.Factor]
    service: str
    operation: str
    locus: model.Locus
    metric: str
    effect: OlderEffect


class Older(BaseModel):
    """What is compared of an older report."""

    schema_version: int
    window: model.Window
    verdict: model.Verdict
    causes: list[OlderCause]


def read_older(given: str | Path | Mapping[str, Any] | model.Report | Analysis) -> Older:
    """An older report from its JSON file, its document, or what `report` returned.

    UsageError for a file that is not there, InputError for one that is no report.
    """
    name = "The older report"
    if isinstance(given, Analysis):
        given = given.document
    if isinstance(given, model.Report):
        given = given.to_dict()
    if isinstance(given, str | Path):
        path = Path(given)
        name = str(path)
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(
                f"{name} cannot be read ({error.strerror}); name a file that --format json wrote."
            ) from None
        except ValueError:
            raise InputError(f"{name} is not JSON; name a file that `traceguard report --format json` wrote.") from None
    try:
        older = Older.model_validate(given)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise InputError(f"{name} is not a traceguard report (see {where}); name what --format json wrote.") from None
    if older.schema_version != model.SCHEMA_VERSION:
        raise InputError(
            f"{name} has schema version {older.schema_version}, this program reads {model.SCHEMA_VERSION}; "
            "make it anew with this program."
        )
    return older


def with_against(report: model.Report, older: Older) -> model.Report:
    """The report with its `against`: new causes first, then changed ones, those that are gone, and the rest."""
    now = {_key(cause): cause for cause in report.causes}
    then = {_key(cause): cause for cause in older.causes}
    changes = [_change(now.get(key), then.get(key)) for key in {**now, **then}]
    order = ("new", "changed", "gone", "as_before")
    changes.sort(key=lambda change: order.index(change.change))
    against = model.Against(window=older.window, verdict=older.verdict, causes=changes)
    return report.model_copy(update={"against": against})


def _key(cause: model.Cause | OlderCause) -> tuple[object, ...]:
    factors = frozenset((f.kind, f.key, f.service, f.level, f.reference) for f in cause.factors)
    return factors, cause.service, cause.operation, cause.locus, cause.metric


def _change(now: model.Cause | None, then: OlderCause | None) -> model.CauseChange:
    found: Any = now or then
    before = then.effect.effect() if then is not None else None
    if before is None:
        change = "new"
    elif now is None:
        change = "gone"
    else:
        apart = now.effect.low > before.high or now.effect.high < before.low
        change = "changed" if apart else "as_before"
    return model.CauseChange.model_validate(
        {
            "change": change, "factors": found.factors, "service": found.service, "operation": found.operation,
            "locus": found.locus, "metric": found.metric, "before": before,
            "after": now.effect if now else None,
        }
    )  # fmt: skip


def table(against: model.Against) -> Table:
    """A row for each cause of either report: how it differs, and its effects then and now."""
    rows = tuple(
        (
            CHANGES[c.change], clean(f"{c.service} {c.operation}"), what(c), factors_name(c.factors),
            effect_text(c.before) if c.before else "", effect_text(c.after) if c.after else "",
        )
        for c in against.causes
    )  # fmt: skip
    return Table(("change", "where", "what", "under", "before", "now"), rows, frozenset({4, 5}))
