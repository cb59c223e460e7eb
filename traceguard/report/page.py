"""The live page of the server at `/`: what comes in, how it fares, what the latest report blames, how to ask more.

Plain HTML: its forms are GET requests to the API with `format=html`, so every answer has an address that can be sent
to a colleague.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traceguard.report.cards import cause_cards
from traceguard.report.pages import damage_of, draw_map, page
from traceguard.report.service_map import Damage
from traceguard.report.tables import Table
from traceguard.report.wording import VERDICTS, between, clean, confidence, count, headline, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import networkx as nx

    from traceguard.report.results import Analysis

_SHOWN_ROWS = 100


@dataclass(frozen=True, slots=True)
class PageData:
    """What the page shows, as plain values.

    `entries`, `flags` and `versions` are rows of the queries `entry_points`, `flags` and `versions_seen` as
    dictionaries. `start` and `end` are RFC 3339 text or None. `analysis` is the latest report or None, and then
    `note` says why there is none. `http_endpoint` and `grpc_endpoint` tell a newcomer where to send spans.
    """

    traces: int = 0
    spans: int = 0
    start: str | None = None
    end: str | None = None
    entries: Sequence[Mapping[str, Any]] = ()
    flags: Sequence[Mapping[str, Any]] = ()
    versions: Sequence[Mapping[str, Any]] = ()
    graph: nx.DiGraph[Any] | None = None
    analysis: Analysis | None = None
    note: str = ""
    http_endpoint: str = "http://127.0.0.1:4318"
    grpc_endpoint: str = "http://127.0.0.1:4317"
    queries: Sequence[str] = field(default=())


def overview(data: PageData) -> str:
    """The page as a complete HTML document."""
    seen = (
        {name for name, node in data.graph.nodes(data=True) if not node.get("inferred")}
        if data.graph is not None
        else set()
    )
    services = sorted(seen | {str(row["service"]) for row in (*data.entries, *data.versions)})
    report = data.analysis.document if data.analysis else None
    marks = damage_of(data.graph, report.causes) if data.graph is not None and report else Damage()
    return page(
        "overview.html", forms=True, data=data, services=[clean(s) for s in services],
        flag_keys=sorted({clean(str(row["flag_key"])) for row in data.flags}),
        about=between(data.start, data.end) if data.start and data.end else "",
        facts=_facts(data, len(services)), entries=_entries(data.entries), flags=_flags(data.flags),
        versions=_versions(data.versions), map=draw_map(data.graph, marks),
        report=report, verdict=VERDICTS[report.verdict] if report else "", headline=headline(report) if report else "",
        level=confidence(report.alpha) if report else "",
        causes=cause_cards(report.causes[:3], report, data.analysis.settings) if report and data.analysis else [],
    )  # fmt: skip


def _facts(data: PageData, services: int) -> list[tuple[str, str, str]]:
    requests = sum(int(row["requests"]) for row in data.entries)
    failed = sum(int(row["errors"]) for row in data.entries)
    return [
        ("Requests", count(requests or data.traces), ""),
        (
            "Errors",
            percent(failed / requests) if requests else "none",
            f"{count(failed)} requests failed" if requests else "",
        ),
        ("Spans", count(data.spans), ""),
        ("Services", count(services), f"{count(len(data.entries))} entry points"),
        ("Flags seen", count(len({row["flag_key"] for row in data.flags})), f"{count(len(data.flags))} variants"),
    ]


def _entries(rows: Sequence[Mapping[str, Any]]) -> Table:
    several = len({row.get("environment") for row in rows}) > 1
    body = tuple(
        (
            clean(
                f"{row['operation']} of {row['service']}"
                + (f" in {row['environment']}" if several and row.get("environment") else "")
            ),
            count(row["requests"]),
            percent(row["errors"] / row["requests"]) if row["requests"] else "",
            *(
                quantity(row[name], "ms") if row.get(name) is not None else ""
                for name in ("p50_ms", "p95_ms", "p99_ms")
            ),
        )
        for row in rows[:_SHOWN_ROWS]
    )
    return Table(("entry point", "requests", "errors", "p50", "p95", "p99"), body, frozenset(range(1, 6)))


def _flags(rows: Sequence[Mapping[str, Any]]) -> Table:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["flag_key"]] = totals.get(row["flag_key"], 0) + int(row["traces"])
    body = tuple(
        (
            clean(str(row["flag_key"])),
            clean(str(row["variant"])),
            count(row["traces"]),
            percent(row["traces"] / totals[row["flag_key"]]) if totals[row["flag_key"]] else "",
        )
        for row in rows[:_SHOWN_ROWS]
    )
    return Table(("flag", "variant", "requests", "exposure"), body, frozenset({2, 3}))


def _versions(rows: Sequence[Mapping[str, Any]]) -> Table:
    body = tuple(
        (
            clean(str(row["service"])),
            clean(str(row["version"] or "not said")),
            count(row["spans"]),
            _moment(row.get("first_seen")),
        )
        for row in rows[:_SHOWN_ROWS]
    )
    return Table(("service", "version", "spans", "first seen, UTC"), body, frozenset({2, 3}))


def _moment(value: datetime | str | None) -> str:
    return "" if value is None else str(value).replace("T", " ").partition(".")[0].removesuffix("Z").partition("+")[0]
