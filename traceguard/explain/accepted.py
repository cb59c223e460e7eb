"""Causes that a team knows and accepts for a while: they show as accepted, and no longer fail what runs on a report.

The verdict stays what the data say. An acceptance names what it is about, holds through the end of its day (UTC), and
gives a reason; afterwards the cause counts again, with a warning.
"""

from collections.abc import Sequence

from traceguard import model
from traceguard.settings import Acceptance

_DAY_NS = 86_400_000_000_000
_EPOCH = 719_163  # the number of 1970-01-01, as `date.toordinal` counts days


def with_accepted(report: model.Report, acceptances: Sequence[Acceptance], now_ns: int) -> model.Report:
    """The report with what is accepted marked, and a warning for each acceptance that ended and would apply."""
    if not acceptances:
        return report
    causes, ended = [], dict[int, Acceptance]()
    for cause in report.causes:
        applying = [a for a in acceptances if applies(a, cause)]
        holding = [a for a in applying if _holds(a, now_ns)]
        if holding and cause.accepted is None:
            last = max(holding, key=lambda a: a.until)
            accepted = model.Accepted(until=last.until.isoformat(), reason=last.reason)
            causes.append(cause.model_copy(update={"accepted": accepted}))
        else:
            causes.append(cause)
            if applying and not holding and cause.accepted is None:
                ended |= {id(a): a for a in applying}
    warnings = [model.Warning(code="acceptance_ended", message=_ended(a)) for a in ended.values()]
    return report.model_copy(update={"causes": causes, "warnings": [*report.warnings, *warnings]})


def _ended(acceptance: Acceptance) -> str:
    about = f"{acceptance} was accepted until {acceptance.until.isoformat()} ({acceptance.reason})"
    return f"{about}; it counts again."


def applies(acceptance: Acceptance, cause: model.Cause) -> bool:
    """Whether a cause is what an acceptance is about; what the acceptance leaves open fits anything."""
    stated = (
        (acceptance.service, cause.service), (acceptance.operation, cause.operation), (acceptance.locus, cause.locus),
        (acceptance.metric, cause.metric),
    )  # fmt: skip
    if any(wanted is not None and wanted != found for wanted, found in stated):
        return False
    return acceptance.factor is None or any(acceptance.factor in _names(factor) for factor in cause.factors)


def failing(report: model.Report) -> list[model.Regression]:
    """The regressions that are not accepted: those with a cause that is not, and those without any cause."""
    return [regression for regression in report.regressions if not is_accepted(regression, report)]


def is_accepted(regression: model.Regression, report: model.Report) -> bool:
    """Whether everything that explains a regression is accepted, and something does."""
    wanted = {"error"} if regression.metric == "error_rate" else {"latency"}
    behind = [
        cause for cause in report.causes
        if cause.metric in wanted and cause.factors == regression.factors
        and any(each.entry == regression.entry for each in cause.entries)
    ]  # fmt: skip
    return bool(behind) and all(cause.accepted is not None for cause in behind)


def _holds(acceptance: Acceptance, now_ns: int) -> bool:
    return now_ns // _DAY_NS <= acceptance.until.toordinal() - _EPOCH


def _names(factor: model.Factor) -> tuple[str, ...]:
    """What a factor may be called: `new-pricing`, `new-pricing=on`, `service.version@payment=1.8.0`."""
    key = factor.key if factor.service is None else f"{factor.key}@{factor.service}"
    return key, f"{key}={factor.level}"
