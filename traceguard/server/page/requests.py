"""Requests: the slowest, the latest, the failed ones or those of a person; and one of them as it ran."""

from typing import TYPE_CHECKING

from traceguard.errors import UnknownNameError, UsageError
from traceguard.report import live
from traceguard.report import requests as drawing

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit

PARAMETERS = ("order", "value")
ORDERS = (("slowest", "Slowest"), ("latest", "Latest"), ("failed", "Failed"))
_MOST = 50


def view(visit: "Visit") -> str:
    """The list of requests."""
    order, value = visit.given("order") or "slowest", visit.given("value")
    if order not in dict(ORDERS):
        raise UsageError(f"There is no order {order!r}; choose one of {', '.join(dict(ORDERS))}.")
    # An id is looked for everywhere, unless somebody chose a stretch of time.
    chosen = visit.filters.last or visit.filters.since or visit.filters.until
    everywhere = bool(value and visit.spans and not chosen)
    time = visit.everything if everywhere else {}
    found = visit.rows("requests", order=order, value=value or None, limit=_MOST, **time) if visit.spans else []
    link, kept = visit.filters.link, ({"value": value} if value else {})
    return live.view(
        "requests", visit.frame("/requests", "Requests", keep=PARAMETERS), rows=drawing.listed(found, link),
        orders=[live.Link(label, link("/requests", order=name, **kept), name == order) for name, label in ORDERS],
        value=value, order=order, everywhere=everywhere, most=_MOST, compare=visit.filters.given,
    )  # fmt: skip


def one(visit: "Visit") -> str:
    """One request as a waterfall, with what it waited for."""
    from traceguard.explain.looked_at import requests_of

    trace_id = visit.request.path_params["trace_id"].lower()
    found = requests_of(visit.cursor, trace_id)
    if not found:
        raise UnknownNameError(f"The store holds no trace {trace_id!r}; it may have been removed, or has yet to come.")
    return live.view(
        "request", visit.frame("/requests", "One request"), trace_id=trace_id,
        requests=[drawing.Request.of(each) for each in found], compare=visit.filters.link("/compare", a=trace_id),
    )  # fmt: skip
