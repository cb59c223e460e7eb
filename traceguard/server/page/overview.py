"""The first view: traffic, errors and latency by entry point, flags and versions over time, the latest verdict."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from traceguard.report import live
from traceguard.report import overview as drawing
from traceguard.report.over_time import Axis

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The whole view."""
    if not visit.spans:
        return live.view("waiting", visit.frame("/", "Overview"), place=visit.place)
    traffic, versions = visit.rows("traffic"), visit.rows("versions")
    stretch = visit.stretch
    marks = [
        (first, f"{service} {version} began")
        for service, version, first in _deploys(versions)
        if stretch.since + stretch.slice_ns < first < stretch.until
    ]
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


def _deploys(versions: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """When a version of a service began that had another before, in this stretch of time."""
    begun: dict[str, dict[str, int]] = defaultdict(dict)
    for row in versions:
        begun[row["service"]][row["version"]] = row["first_ns"]
    return [
        (service, version, first)
        for service, seen in sorted(begun.items())
        for version, first in sorted(seen.items(), key=lambda item: item[1])[1:]
    ]
