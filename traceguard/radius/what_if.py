"""What if a service got slower or failed more: every recorded request retimed, entry by entry.

The delay is added once per call that enters the service (see `calls`), at the end of its own work (see `retime`);
each such call fails with the error rate, and failures climb as they were seen to (see `propagation`). Exposure is the
share of requests hit; `after` is the mixture of the hit and the unhit (see `mixture`), so nothing is drawn at random
and equal input gives equal answers. Requests whose upper part is missing belong to no entry.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.errors import UsageError
from traceguard.radius.calls import calls_of, members, visits_of
from traceguard.radius.mixture import quantiles
from traceguard.radius.propagation import Propagation, failures, pair_text
from traceguard.radius.retime import retime
from traceguard.radius.usable import Usable
from traceguard.traces.link import Linked, Names

_NAMED = 3  # pairs that a warning names before it only counts


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Requests of one partition, those with an entry point; arrays of length r, 33 bytes a request."""

    entry: NDArray[np.int64]  # environment * operations + operation of the root
    before: NDArray[np.int64]  # ns
    after: NDArray[np.int64]  # ns, were the request hit
    failed: NDArray[np.bool_]
    newly: NDArray[np.float64]  # probability that a hit fails the request


def make_scenario(
    service: str, operation: str | None = None, *, delay_ns: int = 0, error_rate: float = 0.0, exposure: float = 1.0
) -> model.Scenario:
    """The supposed change; UsageError for a negative delay, or a rate or exposure outside 0 to 1."""
    if delay_ns < 0:
        raise UsageError(f"The delay of {delay_ns / 1e6:g} ms is negative; a what-if adds time, such as 50ms.")
    for name, value in (("error rate", error_rate), ("exposure", exposure)):
        if not 0.0 <= value <= 1.0:
            raise UsageError(f"The {name} {value:g} lies outside 0 to 1; write a share such as 0.05 or 5%.")
    return model.Scenario(
        service=service, operation=operation, delay_ms=delay_ns / 1e6, error_rate=error_rate, exposure=exposure
    )


def what_if(
    partitions: Callable[[], Iterable[Linked]], scenario: model.Scenario, leave_out: NDArray[np.bool_] | None = None,
    leave_out_traces: NDArray[np.uint64] | None = None,
) -> model.WhatIf:  # fmt: skip
    """Predict each entry point's latency and errors under `scenario`.

    `partitions` gives the window's partitions anew at each call: where errors are supposed, one pass learns how they
    climb before the next applies it. All entry points are listed, the hardest hit first, also those that are not hit,
    without those that `leave_out` marks (per operation of the names) and without the traces whose hashes are in
    `leave_out_traces`. Recorded requests count once each, however they were sampled. Where no usable request calls the
    target there are no entries but the warning `no_requests`.
    """
    delay_ns = np.int64(round(scenario.delay_ms * 1e6))
    learned = Propagation.nothing_seen()
    if scenario.error_rate > 0:
        for linked in partitions():
            learned = learned.learn(linked)
    names = Names((), (), ())
    outcomes: list[_Outcomes] = []
    usable = Usable(leave_out, leave_out_traces)
    assumed: set[int] = set()
    hit = torn = 0
    for linked in partitions():
        names = linked.names
        call, _ = calls_of(linked, visits_of(linked), members(linked, scenario.service, scenario.operation))
        called = np.bincount(linked.request[call], minlength=linked.root.size) > 0
        whole = usable.of(linked)
        hit += int((called & whole).sum())
        torn += int((called & linked.fragment).sum())
        share, unseen = learned.shares(linked)
        newly = failures(linked, share, call, scenario.error_rate)
        assumed.update(np.unique(unseen[(newly > 0) & (unseen >= 0)]).tolist())
        outcomes.append(_outcomes(linked, whole, newly, retime(linked, call * delay_ns)[1]))
    entries = _entries(names, outcomes, scenario.exposure) if hit else []
    return model.WhatIf(
        scenario=scenario,
        entries=entries,
        warnings=[
            *_warnings(scenario, hit, torn, [pair_text(names, pair) for pair in sorted(assumed)]),
            *usable.warnings(),
        ],
    )


def _outcomes(
    linked: Linked, whole: NDArray[np.bool_], newly: NDArray[np.float64], end: NDArray[np.int64]
) -> _Outcomes:
    root = linked.root[whole]
    return _Outcomes(
        entry=linked.environment[whole].astype(np.int64) * len(linked.names.operations) + linked.operation[root],
        before=linked.end[root] - linked.start[root],
        after=end[root] - linked.start[root],
        failed=linked.failed[root],
        newly=newly[root],
    )


def _entries(names: Names, parts: list[_Outcomes], exposure: float) -> list[model.ForecastEntry]:
    every = _Outcomes(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(_Outcomes)))
    order = np.argsort(every.entry, kind="stable")
    entries, first = np.unique(every.entry[order], return_index=True)
    several = len(names.environments) > 1
    found = []
    for entry, rows in zip(entries.tolist(), np.split(order, first[1:]), strict=True):
        environment, operation = divmod(entry, len(names.operations))
        service, text = names.operations[operation]
        before, after, failed = every.before[rows], every.after[rows], every.failed[rows]
        errors = failed.mean()
        added = np.where(failed, 0.0, every.newly[rows]).mean() * exposure
        found.append(
            model.ForecastEntry(
                service=names.services[service],
                operation=text,
                environment=(names.environments[environment] or "unknown") if several else None,
                requests=rows.size,
                before=_outlook(before, before, 0.0, errors),
                after=_outlook(before, after, exposure, errors + added),
            )
        )
    return sorted(found, key=_hardest_hit_first)


def _outlook(before: NDArray[np.int64], after: NDArray[np.int64], exposure: float, error_rate: float) -> model.Outlook:
    p50, p95, p99 = (value / 1e6 for value in quantiles(before, after, exposure))
    mean = float(before.mean() + exposure * (after - before).mean()) / 1e6
    return model.Outlook(mean=mean, p50=p50, p95=p95, p99=p99, error_rate=float(error_rate))


def _hardest_hit_first(entry: model.ForecastEntry) -> tuple[float, float, int, str, str, str]:
    slower, failing = entry.after.mean - entry.before.mean, entry.after.error_rate - entry.before.error_rate
    return (-slower, -failing, -entry.requests, entry.service, entry.operation, entry.environment or "")


def _warnings(scenario: model.Scenario, hit: int, torn: int, assumed: list[str]) -> list[model.Warning]:
    name = " ".join(filter(None, (scenario.service, scenario.operation)))
    warnings = []
    if not hit:
        message = f"No usable request of the window calls {name}; widen the window or send its traffic."
        warnings.append(model.Warning(code="no_requests", message=message))
    if torn:
        message = (
            f"{torn} fragments of requests call {name}, but the spans above them are missing, so their entry points are"
            " unknown and not predicted."
        )
        warnings.append(model.Warning(code="incomplete_traces", message=message))
    if assumed:
        more = f" and {len(assumed) - _NAMED} more" if len(assumed) > _NAMED else ""
        message = (
            f"No failed call was recorded at {'; '.join(assumed[:_NAMED])}{more}: there every error is assumed to fail"
            " the caller, although it may handle it."
        )
        warnings.append(model.Warning(code="assumed_propagation", message=message))
    return warnings
