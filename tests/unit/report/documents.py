"""One realistic document of every kind: a shop where `new-pricing` slowed `pricing` and `payment` began to fail.

Builders take keyword overrides, so that a test states only what it is about.
"""

import math
from itertools import pairwise
from typing import Any

import networkx as nx

from traceguard import model

VERSION = "0.1.0"
START, END = "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"


def window(**changes: Any) -> model.Window:
    """An hour of shop traffic."""
    return model.Window(**{"start": START, "end": END, "traces": 12_480, "spans": 161_024} | changes)


def flag(key: str = "new-pricing", level: str = "on", reference: str = "off") -> model.Factor:
    """A flag at a level."""
    return model.Factor(kind="flag", key=key, service=None, level=level, reference=reference)


def version(service: str = "payment", level: str = "1.8.0", reference: str = "1.7.2") -> model.Factor:
    """A service's version."""
    return model.Factor(kind="version", key="service.version", service=service, level=level, reference=reference)


def period() -> model.Factor:
    """The candidate period against the baseline."""
    return model.Factor(kind="period", key="period", service=None, level="candidate", reference="baseline")


def histogram(reference_ms: float = 90.0, observed_ms: float = 175.0, bins: int = 48) -> model.Histogram:
    """Two log-normal latency distributions over log-spaced bins from 10 ms to 2 s."""
    edges = [10.0 * 200 ** (i / bins) for i in range(bins + 1)]

    def shares(median: float) -> list[float]:
        cdf = [0.5 * (1 + math.erf(math.log(edge / median) / (0.35 * math.sqrt(2)))) for edge in edges]
        return [round(b - a, 6) for a, b in pairwise(cdf)]

    return model.Histogram(edges_ms=edges, reference=shares(reference_ms), observed=shares(observed_ms))


def entry(service: str = "frontend", operation: str = "POST /checkout", environment: str | None = None) -> model.Entry:
    """An entry point."""
    return model.Entry(service=service, operation=operation, environment=environment)


def regression(**changes: Any) -> model.Regression:
    """Checkout's mean latency under new-pricing."""
    values: dict[str, Any] = {
        "entry": entry(), "metric": "latency_mean", "factors": [flag()], "reference": 96.4, "observed": 188.7,
        "delta": 92.3, "low": 85.1, "high": 99.6, "p_adjusted": 1.2e-9, "q_value": 4e-10,
    }  # fmt: skip
    return model.Regression(**values | changes)


def parts() -> list[model.Part]:
    """Where checkout's extra milliseconds lie; they add up to its mean delta."""
    rows = [
        ("pricing", "ComputeQuote", "self", 84.2), ("pricing", "ComputeQuote", "inbound", 4.9),
        ("postgres", "SELECT prices", "self", 3.8), ("frontend", "POST /checkout", "self", 0.6),
        ("cart", "GetCart", "self", -1.2),
    ]  # fmt: skip
    return [model.Part(service=s, operation=o, locus=locus, delta_ms=d) for s, o, locus, d in rows]


def cause(**changes: Any) -> model.Cause:
    """The planted cause: ComputeQuote's own time under new-pricing."""
    values: dict[str, Any] = {
        "rank": 1, "factors": [flag()], "service": "pricing", "operation": "ComputeQuote", "locus": "self",
        "metric": "latency", "effect": model.Effect(estimate=84.2, low=78.0, high=90.4, unit="ms"),
        "share": 0.91, "q_value": 4e-10, "requests": model.Requests(affected=1_512, fraction=0.121),
        "inseparable_from": [],
        "exemplars": model.Exemplars(
            affected=["5b8efff798038103d269b633813fc60c", "0af7651916cd43dd8448eb211c80319c"],
            reference=["4bf92f3577b34da6a3ce929d0e0e4736"],
        ),
        "entries": [
            model.CauseEntry(
                entry=entry(),
                effect=model.Effect(estimate=91.0, low=84.0, high=98.0, unit="ms"),
                requests=model.Requests(affected=1_104, fraction=0.124),
            ),
            model.CauseEntry(
                entry=entry(operation="GET /cart"),
                effect=model.Effect(estimate=65.8, low=57.9, high=73.7, unit="ms"),
                requests=model.Requests(affected=408, fraction=0.113),
            ),
        ],
        "summary": "With new-pricing on, ComputeQuote in pricing spends 84.2 ms more of its own time on each request.",
    }  # fmt: skip
    return model.Cause(**values | changes)


def over_time(against: str = "slice") -> model.OverTime:
    """The cause's effect in four quarters of the hour; in the last one hardly anybody ran under it."""
    quarters = [f"2026-11-23T12:{minute}:00Z" for minute in ("00", "15", "30", "45")] + [END]
    effects = [(80.0, 70.0, 90.0), (85.0, 76.0, 94.0), (88.0, 80.0, 96.0), None]
    return model.OverTime(
        entry=entry(), against=against,
        slices=[
            model.EffectSlice(
                start=start, end=end, affected=270 if effect else 2, reference=2_100,
                effect=model.Effect(estimate=effect[0], low=effect[1], high=effect[2], unit="ms") if effect else None,
            )
            for (start, end), effect in zip(pairwise(quarters), effects, strict=True)
        ],
    )  # fmt: skip


def call_paths(name: str = "pricing") -> model.CallPaths:
    """Where checkout's time goes on both sides; nine milliseconds on the way to pricing."""

    def node(
        above: int, service: str, operation: str, reference: float, observed: float, **more: Any
    ) -> model.PathNode:
        return model.PathNode(
            above=above, service=service, operation=operation, reference_ms=reference, observed_ms=observed, **more
        )

    return model.CallPaths(
        entry=entry(), factors=[flag()], reference=8_000, observed=1_104,
        paths=[
            node(-1, "frontend", "POST /checkout", 20.0, 20.6), node(0, name, "ComputeQuote", 40.0, 124.2),
            node(1, "postgres", "SELECT prices", 16.4, 20.2), node(0, "cart", "GetCart", 15.0, 13.8),
            node(0, "", "", 5.0, 5.0, smaller=3),
        ],
    )  # fmt: skip


def typical_trace(trace_id: str, blamed_ms: float, name: str = "pricing") -> model.TypicalTrace:
    """Checkout with one call of pricing."""

    def span(above: int, service: str, operation: str, start: float, end: float, **more: Any) -> model.TraceSpan:
        values = {"on_path": [(start, end)], "failed": False, "marked": False} | more
        return model.TraceSpan(
            above=above, service=service, operation=operation, start_ms=start, duration_ms=end - start, **values
        )

    whole = 30.0 + blamed_ms
    return model.TypicalTrace(
        trace_id=trace_id, span_id="00f067aa0ba902b7", start_ms=1_795_435_200_000, end_ms=1_795_435_200_200,
        duration_ms=whole, blamed_ms=blamed_ms, left_out=4,
        spans=[
            span(-1, "frontend", "POST /checkout", 0.0, whole, on_path=[(0.0, 10.0), (10.0 + blamed_ms, whole)]),
            span(0, name, "ComputeQuote", 10.0, 10.0 + blamed_ms, marked=True),
            span(0, "cart", "GetCart", 10.0, 25.0, on_path=[], failed=True),
        ],
    )  # fmt: skip


def pictures(name: str = "pricing") -> model.Pictures:
    """What belongs to the first cause."""
    first = model.CausePictures(
        rank=1, paths=0, reference=[typical_trace("4bf92f3577b34da6a3ce929d0e0e4736", 40.0, name)],
        affected=[typical_trace("5b8efff798038103d269b633813fc60c", 124.0, name),
                  typical_trace("0af7651916cd43dd8448eb211c80319c", 126.0, name)],
    )  # fmt: skip
    return model.Pictures(paths=[call_paths(name)], causes=[first])


def error_cause(**changes: Any) -> model.Cause:
    """Payment's new version fails a share of charges."""
    values: dict[str, Any] = {
        "rank": 2, "factors": [version()], "service": "payment", "operation": "Charge", "metric": "error",
        "effect": model.Effect(estimate=0.034, low=0.021, high=0.047, unit="fraction"), "share": 0.88,
        "q_value": 0.0008, "requests": model.Requests(affected=3_020, fraction=0.242),
        "inseparable_from": [[flag("fast-retry", "true", "false")]],
        "entries": [
            model.CauseEntry(
                entry=entry(),
                effect=model.Effect(estimate=0.034, low=0.021, high=0.047, unit="fraction"),
                requests=model.Requests(affected=3_020, fraction=0.339),
            )
        ],
        "summary": "Charge in payment 1.8.0 fails 3.4 requests in a hundred more than 1.7.2 did.",
    }  # fmt: skip
    return cause(**values | changes)


def improvement(**changes: Any) -> model.Cause:
    """A cache that made the catalogue faster."""
    values: dict[str, Any] = {
        "rank": 1, "factors": [flag("catalog-cache")], "service": "catalog", "operation": "ListProducts",
        "effect": model.Effect(estimate=-12.4, low=-14.9, high=-9.9, unit="ms"), "share": 0.97, "q_value": 0.0001,
        "requests": model.Requests(affected=2_201, fraction=0.176), "entries": [],
        "summary": "With catalog-cache on, ListProducts in catalog spends 12.4 ms less on each request.",
    }  # fmt: skip
    return cause(**values | changes)


def report(**changes: Any) -> model.Report:
    """The report on the planted regression."""
    values: dict[str, Any] = {
        "traceguard_version": VERSION, "window": window(), "baseline": None, "candidate": None,
        "verdict": "regression",
        "regressions": [
            regression(distribution=histogram(), parts=parts()),
            regression(metric="latency_p95", reference=168.0, observed=291.0, delta=123.0, low=104.0, high=142.0),
            regression(
                entry=entry(operation="GET /cart"), reference=41.2, observed=107.9, delta=66.7, low=58.2, high=75.2,
                distribution=histogram(40, 105), parts=parts()[:2],
            ),
            regression(
                factors=[version()], metric="error_rate", reference=0.006, observed=0.0445, delta=0.0385, low=0.024,
                high=0.053, p_adjusted=0.0011, q_value=0.0008,
            ),
        ],
        "causes": [cause(), error_cause()], "improvements": [improvement()],
        "warnings": [
            model.Warning(code="incomplete_requests", message="2.1% of requests miss spans; their parts are left out."),
            model.Warning(code="collinear_factors", message="payment 1.8.0 and fast-retry=true ran together."),
        ],
    }  # fmt: skip
    return model.Report(**values | changes)


def quiet_report(verdict: str = "no_regression", **changes: Any) -> model.Report:
    """A report that found nothing worse."""
    values: dict[str, Any] = {"verdict": verdict, "regressions": [], "causes": [], "improvements": [], "warnings": []}
    return report(**values | changes)


def period_report() -> model.Report:
    """Two periods compared, with evidence too weak for a verdict."""
    return quiet_report(
        "inconclusive",
        baseline=model.PeriodBounds(start="2026-11-23T12:00:00Z", end="2026-11-23T12:30:00Z"),
        candidate=model.PeriodBounds(start="2026-11-23T12:30:00Z", end="2026-11-23T13:00:00Z"),
        causes=[cause(factors=[period()], q_value=0.21, share=0.6)],
        warnings=[model.Warning(code="weak_evidence", message="About 4,000 more requests would settle checkout.")],
    )


def reach_edge(source: str, target: str, side: str, **changes: Any) -> model.ReachEdge:
    """Synchronous calls between two services that were never seen failing."""
    values = {
        "source": source,
        "target": target,
        "side": side,
        "kind": "sync",
        "calls": 1,
        "errors_seen": 0,
        "stopped": 0,
    }
    return model.ReachEdge(**values | changes)


def hour(weekday: Any, at: int, fraction: float) -> model.HourOfWeek:
    """An hour of the week with a thousand requests."""
    return model.HourOfWeek(
        weekday=weekday, hour=at, requests=1_000, reached=round(1_000 * fraction), fraction=fraction,
        low=fraction - 0.05, high=fraction + 0.05, units=300, span_hours=1.0,
    )  # fmt: skip


def radius(**changes: Any) -> model.BlastRadius:
    """Who is reached when pricing goes wrong."""
    values: dict[str, Any] = {
        "target": model.Target(service="pricing", operation=None, flag=None), "window": window(),
        "reach": model.Reach(
            requests_fraction=0.71, traces=8_860, units=2_904, services=4, low=0.69, high=0.73, units_fraction=0.8
        ),
        "entries": [
            model.ReachedEntry(
                service="frontend", operation="POST /checkout", requests=4_100, fraction=1.0, calls_per_request=2.4,
                critical_fraction=0.62, low=0.99, high=1.0, units=1_400,
            ),
            model.ReachedEntry(
                service="frontend", operation="GET /cart", requests=5_120, fraction=0.93, calls_per_request=0.97,
                critical_fraction=0.31, low=0.91, high=0.95, units=1_900,
            ),
        ],
        "upstream": [
            model.Neighbour(service="checkout", depth=1, fraction=1.0, kind="sync", low=0.99, high=1.0, units=1_400),
            model.Neighbour(service="frontend", depth=2, fraction=0.71, kind="sync", low=0.69, high=0.73, units=2_904),
        ],
        "downstream": [
            model.Neighbour(service="ledger", depth=1, fraction=1.0, kind="sync", low=0.99, high=1.0, units=2_904),
            model.Neighbour(service="audit", depth=1, fraction=0.4, kind="async", low=0.38, high=0.42, units=1_100),
        ],
        "edges": [
            reach_edge("checkout", "pricing", "up", calls=4_100, errors_seen=40, stopped=38),
            reach_edge("frontend", "checkout", "up", calls=4_100, errors_seen=7),
            reach_edge("frontend", "pricing", "up", calls=4_760),
            reach_edge("pricing", "ledger", "down", calls=8_860),
            reach_edge("pricing", "audit", "down", calls=3_500, kind="async"),
        ],
        "gates": [
            model.Gate(
                source="checkout", target="pricing", kind="retry", errors_seen=40, stopped=38, fraction=0.95, low=0.83,
                high=0.99, requests=4_100,
            ),
        ],
        "untested_edges": [model.UntestedEdge(source="frontend", target="pricing", requests=4_760)],
        "unknown": [
            model.UnknownService(
                service="redis:cache", called_by=["pricing"], calls=9_000, fraction=1.0, low=0.99, high=1.0
            )
        ],
        "cohorts": [
            model.Cohort(
                key="tenant.id", more=3, total=5, reached=4,
                values=[
                    model.CohortValue(
                        value="acme", requests=900, reached=700, fraction=0.78, low=0.74, high=0.81, units=120
                    ),
                    model.CohortValue(
                        value=None, requests=90, reached=9, fraction=0.1, low=0.05, high=0.18, units=8
                    ),
                ],
            )
        ],
        "by_time": [hour("Tuesday", 9, 0.75), hour("Sunday", 22, 0.2)],
        "warnings": [],
    }  # fmt: skip
    return model.BlastRadius(**values | changes)


def what_if(**changes: Any) -> model.WhatIf:
    """Fifty milliseconds more in pricing for a twentieth of the requests."""
    spread = model.Interval(estimate=6.0, low=5.1, high=6.9)
    failing = model.Interval(estimate=0.0011, low=0.0009, high=0.0013)
    entry = model.Entry(service="frontend", operation="POST /checkout")
    values: dict[str, Any] = {
        "scenario": model.Scenario(service="pricing", operation=None, delay_ms=50.0, error_rate=0.01, exposure=0.05),
        "budgets": [
            model.Budget(
                slo="POST /checkout: latency<300ms for 99% in 28d", entry=entry, metric="latency", limit=300.0,
                before=240.2, after=310.9, kept_before=True, kept_after=False, target=0.99, budget=0.01,
                bad_fraction_before=0.002, bad_fraction_after=0.02, burn_rate_before=0.2, burn_rate_after=2.0,
                window_hours=672.0, exhausted_in_hours=336.0,
            ),
            model.Budget(
                slo="mean<300ms", entry=entry, metric="mean", limit=300.0, before=96.4, after=102.4, kept_before=True,
                kept_after=True,
            ),
        ],
        "entries": [
            model.ForecastEntry(
                service="frontend", operation="POST /checkout", requests=4_100,
                before=model.Outlook(mean=96.4, p50=90.1, p95=168.0, p99=240.2, error_rate=0.006),
                after=model.Outlook(mean=102.4, p50=91.8, p95=214.0, p99=310.9, error_rate=0.0071),
                change=model.OutlookIntervals(mean=spread, p50=spread, p95=spread, p99=spread, error_rate=failing),
                hit_fraction=0.93,
                distribution=model.Histogram(
                    edges_ms=[50.0, 80.0, 125.0, 200.0, 320.0], reference=[0.2, 0.5, 0.25, 0.05],
                    observed=[0.19, 0.48, 0.24, 0.09],
                ),
            ),
            model.ForecastEntry(
                service="frontend", operation="GET /", requests=9_000,
                before=model.Outlook(mean=20.0, p50=19.0, p95=40.0, p99=55.0, error_rate=0.0),
                after=model.Outlook(mean=20.0, p50=19.0, p95=40.0, p99=55.0, error_rate=0.0),
            ),
        ],
        "warnings": [model.Warning(code="assumed_propagation", message="No failure of pricing was ever recorded.")],
    }  # fmt: skip
    return model.WhatIf(**values | changes)


def plan(**changes: Any) -> model.Plan:
    """Twenty milliseconds in pricing, in two steps of which the last leaves no control."""
    entry = model.Entry(service="frontend", operation="POST /checkout <b>")
    shown = model.PlanStep(
        exposure=0.25, hours=0.5, hours_needed=0.5, requests=900, users_new=210, users_hit=210, power=0.81, entry=entry,
        clusters=44.0, detects_ms=20.0, detects_errors=None, extrapolated=False, reason=None,
        curve=[model.PlanPoint(hours=h, power=p, users_hit=u) for h, p, u in ((0.25, 0.3, 120), (0.5, 0.81, 210))],
    )  # fmt: skip
    last = model.PlanStep(
        exposure=1.0, hours=None, hours_needed=None, requests=0, users_new=0, users_hit=210, power=None, entry=None,
        clusters=0.0, detects_ms=None, detects_errors=None, extrapolated=False, reason="nobody is left", curve=[],
    )  # fmt: skip
    values: dict[str, Any] = {
        "target": model.Target(service="pricing", operation=None, flag=None),
        "window": model.Window(start="2026-11-23T12:00:00Z", end="2026-11-23T13:00:00Z", traces=6000, spans=80_000),
        "size": model.PlannedSize(delay_ms=20.0, error_rate=0.0, assumed=False), "power": 0.8, "alpha": 0.05,
        "looks": "any_time", "step_hours": None, "most_users": None, "recorded_hours": 1.0, "requests_per_hour": 3600.0,
        "users": 700, "tests": 130, "least_exposure": 0.11,
        "entries": [
            model.PlannedEntry(
                service="frontend", operation="POST /checkout <b>", requests=822, requests_per_hour=822.0, users=500,
                added_ms=19.2, added_errors=0.0, spread_ms=44.6, user_effect=1.9, least_hours=0.5, blind=None,
            )
        ],
        "steps": [shown, last],
        "warnings": [model.Warning(code="no_control", message="At 100% nobody is left to compare with.")],
    }  # fmt: skip
    return model.Plan(**values | changes)


def traffic(**changes: Any) -> model.Traffic:
    """Calls of one side."""
    values = {
        "requests": 3_900, "calls": 8_200, "errors": 41, "calls_per_request": 2.0, "error_rate": 0.005, "p50_ms": 3.1,
        "p95_ms": 14.0,
    }  # fmt: skip
    return model.Traffic(**values | changes)


def edge_change(change: str = "new", target: str = "fraud <check>", **changes: Any) -> model.EdgeChange:
    """A dependency of the checkout that differs."""
    values = {
        "source": "checkout", "target": target, "kind": "sync", "change": change,
        "baseline": None if change == "new" else traffic(), "candidate": None if change == "vanished" else traffic(),
        "delta": 2.0, "low": 1.9, "high": 2.1, "q_calls": 1.0, "q_errors": 1.0,
    }  # fmt: skip
    return model.EdgeChange(**values | changes)


def graph_diff(**changes: Any) -> model.GraphDiff:
    """A release that calls a new service, no longer calls another, and calls pricing more often."""
    new = edge_change()
    node = {name: getattr(new, name) for name in model.TrafficChange.model_fields}
    values = {
        "level": "service", "baseline": model.GraphSide(start=START, end="2026-11-23T12:30:00Z", requests=4_100),
        "candidate": model.GraphSide(start="2026-11-23T12:30:00Z", end=END, requests=3_900),
        "nodes": [model.NodeChange(node="fraud <check>", **node)],
        "edges": [
            new, edge_change("vanished", "legacy", kind="async"), edge_change("changed", "pricing"),
            edge_change("not_seen", "rare", baseline=None),
        ],
        "unchanged_nodes": 10, "unchanged_edges": 11,
    }  # fmt: skip
    return model.GraphDiff(**values | changes)


def graph() -> nx.DiGraph:
    """The shop's services, a cache, a database and a queue; one pair talks both ways."""
    shop = nx.DiGraph()
    for name, spans, errors, kind in [
        ("frontend", 38_000, 210, "service"), ("checkout", 26_000, 190, "service"), ("cart", 21_000, 12, "service"),
        ("pricing", 19_400, 4, "service"), ("catalog", 17_000, 0, "service"), ("payment", 9_900, 160, "service"),
        ("shipping", 6_100, 3, "service"), ("email", 4_100, 0, "service"), ("postgres", 0, 0, "database"),
        ("redis", 0, 0, "cache"), ("orders", 0, 0, "queue"),
    ]:  # fmt: skip
        shop.add_node(name, spans=spans, errors=errors, p50_ms=4.2, p95_ms=18.5, inferred=kind != "service", type=kind)
    for source, target, calls, errors, kind in [
        ("frontend", "checkout", 8_900, 180, "sync"), ("frontend", "cart", 9_400, 10, "sync"),
        ("frontend", "catalog", 12_100, 0, "sync"), ("checkout", "pricing", 8_700, 4, "sync"),
        ("cart", "pricing", 9_100, 0, "sync"), ("checkout", "payment", 8_400, 160, "sync"),
        ("checkout", "orders", 8_200, 0, "async"), ("orders", "shipping", 6_100, 3, "async"),
        ("orders", "email", 4_100, 0, "async"), ("pricing", "postgres", 17_000, 0, "sync"),
        ("catalog", "redis", 15_000, 0, "sync"), ("shipping", "frontend", 120, 0, "sync"),
    ]:  # fmt: skip
        numbers = {"calls": calls, "errors": errors, "p50_ms": 3.1, "p95_ms": 14.0}
        shop.add_edge(source, target, kind=kind, kinds={kind: {"kind": kind, **numbers}}, **numbers)
    return shop
