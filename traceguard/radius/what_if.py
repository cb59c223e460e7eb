"""What if a service got slower or failed more, or a flag were extended: every recorded request, entry by entry.

A delay is added once per call that enters the service (see `calls`), at the end of its own work (see `retime`); each
such call fails with the error rate, and failures climb as they were seen to (see `propagation`). A flag is extended by
what requests under its levels showed (see `extension`). Exposure is the share of requests hit; `after` is the mixture
of the hit and the unhit (see `population`), so nothing is drawn at random but the delays of a distribution, which hang
on ids alone. Requests whose upper part is missing belong to no entry; recorded requests count once each, however they
were sampled.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.radius.budgets import budget
from traceguard.radius.extension import LEVEL, Extension, Observed, Sides
from traceguard.radius.largest import largest_delay, largest_exposure
from traceguard.radius.objective import Objective
from traceguard.radius.outcomes import Users
from traceguard.radius.outlook import QUANTILES, outlooks
from traceguard.radius.propagation import FEW_FAILURES, pair_text
from traceguard.radius.retimed import Partitions, Recorded, Retimed
from traceguard.radius.scenario import Scenario
from traceguard.radius.usable import Usable

_NAMED = 3  # things that a warning names before it only counts

Cases = Callable[[], Iterable[tuple[model.Entry, "Retimed | Extension"]]]


def what_if(
    partitions: Partitions, scenario: Scenario, objectives: Sequence[Objective] = (), users: Users | None = None,
    leave_out: NDArray[np.bool_] | None = None, leave_out_traces: NDArray[np.uint64] | None = None,
) -> model.WhatIf:  # fmt: skip
    """Predict each entry point's latency and errors were a service slower or failing more.

    All entry points are listed, the hardest hit first, also those that are not hit, without those that `leave_out`
    marks (per operation of the names) and without the traces whose hashes are in `leave_out_traces`. Where no usable
    request calls the target there are no entries but the warning `no_requests`.
    """
    usable = Usable(leave_out, leave_out_traces)
    recorded = Recorded.of(partitions, scenario, usable, users)
    supposed, exposure, found = scenario.document(), scenario.exposure, None
    delay = scenario.delay
    if scenario.search == "delay" and recorded.hit:
        added, found = largest_delay(recorded, objectives)
        delay = delay.scaled(added)
        supposed = supposed.model_copy(update={"delay_ms": added / 1e6, "delay": delay.text})
    recorded.settle(delay)
    if scenario.search == "exposure" and recorded.hit:
        exposure, found = largest_exposure(recorded.cases(), objectives)
        supposed = supposed.model_copy(update={"exposure": exposure})
    entries, budgets = _answers(recorded.cases, exposure, objectives) if recorded.hit else ([], [])
    warnings = [*_warnings(supposed, recorded), *_unbounded(entries), *_unmet(objectives, entries)]
    return model.WhatIf(
        scenario=supposed, entries=entries, warnings=[*warnings, *usable.warnings()], budgets=budgets, largest=found
    )


def what_if_flag(
    partitions: Partitions, scenario: Scenario, sides: Sides, objectives: Sequence[Objective] = (),
    users: Users | None = None, leave_out: NDArray[np.bool_] | None = None,
    leave_out_traces: NDArray[np.uint64] | None = None,
) -> model.WhatIf:  # fmt: skip
    """Predict each entry point's latency and errors were a flag's level given to another share of requests.

    Entry points whose requests ran under one of the two levels only are left out with a warning; where that are all,
    there are no entries but the warning `no_requests`.
    """
    usable = Usable(leave_out, leave_out_traces)
    observed = Observed.of(partitions, sides, usable, users)
    one_sided: list[str] = []
    left_out = compared = level = 0
    for entry, rows in observed.outcomes.each(observed.names):
        case = Extension.of(rows)
        left_out += case.left_out
        compared += int(case.compared.sum())
        level += int((case.rows["side"] == LEVEL).sum())
        if not case.rows.size:
            one_sided.append(f"{entry.service} {entry.operation}")

    def cases() -> Iterator[tuple[model.Entry, Extension]]:
        for entry, rows in observed.outcomes.each(observed.names):
            case = Extension.of(rows)
            if case.rows.size:
                yield entry, case

    exposure, found = scenario.exposure, None
    if scenario.search == "exposure" and compared:
        exposure, found = largest_exposure(cases(), objectives)
    entries, budgets = _answers(cases, exposure, objectives) if compared else ([], [])
    supposed = scenario.document().model_copy(
        update={
            "flag": sides.flag, "level": sides.level, "reference": sides.reference, "exposure": exposure,
            "current_exposure": level / compared if compared else None,
        }
    )  # fmt: skip
    told = _flag_warnings(sides, compared, left_out, one_sided)
    warnings = [*told, *_unbounded(entries), *_unmet(objectives, entries)]
    return model.WhatIf(
        scenario=supposed, entries=entries, warnings=[*warnings, *usable.warnings()], budgets=budgets, largest=found
    )


def _answers(
    cases: Cases, exposure: float, objectives: Sequence[Objective]
) -> tuple[list[model.ForecastEntry], list[model.Budget]]:
    entries, budgets = [], []
    for entry, case in cases():
        before, after = case.before, case.at(exposure)
        found = {**entry.model_dump(), "requests": before.requests, "hit_fraction": case.hit_fraction}
        entries.append(model.ForecastEntry(**found, **outlooks(before, after, case.climbing(exposure))))
        budgets += [budget(each, entry, before, after) for each in objectives if each.concerns(entry)]
    return sorted(entries, key=_hardest_hit_first), sorted(budgets, key=_nearest_to_broken_first)


def _hardest_hit_first(entry: model.ForecastEntry) -> tuple[float, float, int, str, str, str]:
    slower, failing = entry.after.mean - entry.before.mean, entry.after.error_rate - entry.before.error_rate
    return (-slower, -failing, -entry.requests, entry.service, entry.operation, entry.environment or "")


def _nearest_to_broken_first(found: model.Budget) -> tuple[bool, float, str, str]:
    return (found.kept_after, -found.after / max(found.limit, 1e-9), found.slo, found.entry.operation)


def _unbounded(entries: Sequence[model.ForecastEntry]) -> list[model.Warning]:
    """Entry points with too few requests, or users, to say how a quantile would change."""
    found = []
    for entry in entries:
        open_ = [name for name in QUANTILES if entry.change is not None and getattr(entry.change, name).high is None]
        if open_:
            found.append(f"{' and '.join(open_)} of {entry.service} {entry.operation} ({entry.requests:,} requests)")
    if not found:
        return []
    message = f"Too few requests or users to bound {_listed(found)}: by how much it would change is not known."
    return [model.Warning(code="few_requests", message=message)]


def _unmet(objectives: Sequence[Objective], entries: Sequence[model.ForecastEntry]) -> list[model.Warning]:
    """Objectives about entry points that have no requests."""
    idle = [each.text for each in objectives if entries and not any(each.concerns(entry) for entry in entries)]
    if not idle:
        return []
    message = f"No request of the window enters where {_listed(idle)} applies, so nothing is said about it."
    return [model.Warning(code="objective_without_requests", message=message)]


def _flag_warnings(sides: Sides, compared: int, left_out: int, one_sided: Sequence[str]) -> list[model.Warning]:
    named = sides.flag if sides.level is None else f"{sides.flag}={sides.level}"
    pair = f"{named} and {sides.reference or 'another level'}"
    if not compared:
        message = f"No entry point has usable requests under {pair} at the same time; widen the window."
        return [model.Warning(code="no_requests", message=message)]
    assumed = (
        f"Requests under {sides.flag}={sides.level} are taken to show what others would under it: that holds if the"
        " flag is assigned by chance within an entry point at any time, and if nothing saturates with the load."
    )
    warnings = [model.Warning(code="assumed_exchangeable", message=assumed)]
    if left_out:
        where = f", all of {_listed(one_sided)} among them" if one_sided else ""
        count = "1 request is" if left_out == 1 else f"{left_out:,} requests are"
        message = f"{count} left out{where}: at their time only one of {pair} was seen."
        warnings.append(model.Warning(code="no_overlap", message=message))
    return warnings


def _warnings(scenario: model.Scenario, recorded: Recorded) -> list[model.Warning]:
    name = " ".join(filter(None, (scenario.service, scenario.operation)))
    warnings = []
    if not recorded.hit:
        message = f"No usable request of the window calls {name}; widen the window or send its traffic."
        warnings.append(model.Warning(code="no_requests", message=message))
    elif scenario.delay_ms == 0.0 and scenario.error_rate == 0.0:
        message = f"Nothing is supposed to change in {name}: name a delay or an error rate."
        warnings.append(model.Warning(code="nothing_supposed", message=message))
    if recorded.torn:
        message = (
            f"{recorded.torn} fragments of requests call {name}, but the spans above them are missing, so their entry"
            " points are unknown and not predicted."
        )
        warnings.append(model.Warning(code="incomplete_traces", message=message))
    if recorded.assumed:
        assumed = [pair_text(recorded.names, pair) for pair in sorted(recorded.assumed)]
        message = (
            f"No failed call was recorded at {_listed(assumed)}: there every error is assumed to fail the caller,"
            " although it may handle it."
        )
        warnings.append(model.Warning(code="assumed_propagation", message=message))
    if recorded.thin:
        ranked = sorted(recorded.thin.items(), key=lambda found: (found[1], found[0]))
        thin = [f"{pair_text(recorded.names, pair)} ({seen} seen)" for pair, seen in ranked]
        message = (
            f"Fewer than {FEW_FAILURES} failed calls tell how often the caller fails with them at {_listed(thin)}; the"
            " interval of the error rate is wider for it."
        )
        warnings.append(model.Warning(code="thin_propagation", message=message))
    return warnings


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more
