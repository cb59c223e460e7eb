"""What to do next about a cause: one or two sentences, from what it is and from what the data could not settle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceguard.report.wording import clean, factor_name, factors_name, reference_name
from traceguard.units import counted

if TYPE_CHECKING:
    from traceguard.model import Cause, Factor


def next_step(cause: Cause) -> str:
    """What a person does next, most urgent first."""
    steps = [_undo(cause)]
    if cause.inseparable_from:
        others = "; ".join(factors_name(factors) for factors in cause.inseparable_from)
        needed = f" for about {counted(cause.separation.requests, 'request')}" if cause.separation else ""
        steps.append(f"First tell it from {others}: run one without the other{needed}.")
    steps.append(_look(cause))
    return " ".join(steps)


def _undo(cause: Cause) -> str:
    only = (
        f" for {clean(cause.narrowed_to.key)}={clean(cause.narrowed_to.value)}" if cause.narrowed_to is not None else ""
    )
    if len(cause.factors) > 1:
        one = min(cause.factors, key=lambda f: _EASE[f.kind])
        return f"{_undone(one)}{only}: it takes all of {factors_name(cause.factors)} together."
    return f"{_undone(cause.factors[0])}{only}." if cause.factors else ""


_EASE = {"flag": 0, "version": 1, "attribute": 2, "period": 3}


def _undone(factor: Factor) -> str:
    if factor.kind == "flag":
        return f"Set {clean(factor.key)} back to {clean(factor.reference)}"
    if factor.kind == "version":
        return f"Roll {clean(factor.service or 'it')} back to {clean(factor.reference)}"
    if factor.kind == "period":
        return "Look for what was released or changed between the two periods"
    return f"See what sets {factor_name(factor)} apart from {reference_name([factor])}"


def _look(cause: Cause) -> str:
    where = clean(f"{cause.operation} of {cause.service}")
    if cause.metric == "error":
        timeouts = cause.timeout_fraction or 0.0
        kind = "what it waits for, since most of its errors are timeouts" if timeouts > 0.5 else "its errors"
        return f"Then look at {where}: {kind}."
    if cause.metric == "calls":
        return f"Then look at who calls {where}, and why that changed."
    if cause.locus == "inbound":
        return f"Then look at the way to {where}: network, queues, connection set-up, its pool of workers."
    return f"Then look at what {where} does itself, starting with the pair of traces below."
