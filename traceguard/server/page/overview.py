"""The first view: traffic, errors and latency by entry point, flags and versions over time, the latest verdict."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from traceguard.report import live
from traceguard.report import overview as drawing
from traceguard.report.over_time import Axis

if TYPE_CHECKING:
    from traceguard.server.page.filters import Stretch
    from traceguard.server.page.visit import Visit

_BEFORE = 40  # spans of other versions before a new one; of a version with a tenth of them, one would be seen


def view(visit: "Visit") -> str:
    """The whole view."""
    if not visit.spans:
        return live.view("waiting", visit.frame("/", "Overview"), place=visit.place)
    traffic, versions = visit.rows("traffic"), visit.rows("versions")
    stretch = visit.stretch
    marks = [(first, f"{service} {version} began") for service, version, first in _deploys(versions, stretch)]
    slices = -(-(stretch.until - stretch.since) // stretch.slice_ns)
    axis = Axis(stretch.since, stretch.slice_ns, slices, marks)
    shown = drawing.Overview.of(
        axis, traffic, visit.rows("exposure"), versions, stretch.until - stretch.since,
        lambda entry: visit.filters.link("/requests", **({} if visit.filters.entry else {"entry": entry})),
    )  # fmt: skip
    return live.view(
        "overview", visit.frame("/", "Overview"), shown=shown, part=visit.filters.link("/part/verdict"),
        wait=visit.filters.link("/", wait=1), **_judged(visit),
    )  # fmt: skip


def verdict(visit: "Visit") -> str:
    """The box with the latest verdict."""
    return live.part("verdict", **_judged(visit))


def _judged(visit: "Visit") -> dict[str, Any]:
    found = visit.judged
    more = drawing.judged(found.analysis, found.note, found.at) if found is not None else None
    return {"judged": more, "causes": visit.filters.link("/causes")}


def _deploys(versions: list[dict[str, Any]], stretch: "Stretch") -> list[tuple[str, str, int]]:
    """When a version of a service began in this stretch of time, as (service, version, ns).

    A version that was there all along shows itself late where its service is rarely called; so the service must have
    sent some spans of other versions before.
    """
    begun: dict[tuple[str, str], int] = {}
    spans: dict[str, Counter[int]] = defaultdict(Counter)
    for row in versions:
        begun[row["service"], row["version"]] = row["first_ns"]
        spans[row["service"]][row["slice"]] += row["spans"]
    return [
        (service, version, first)
        for (service, version), first in sorted(begun.items(), key=lambda item: item[1])
        if sum(n for at, n in spans[service].items() if at < (first - stretch.since) // stretch.slice_ns) >= _BEFORE
    ]
