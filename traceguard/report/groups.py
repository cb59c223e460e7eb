"""Two groups of requests of one entry point, as recorded: their numbers, and where their time went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceguard.report import flame
from traceguard.report.tables import Table
from traceguard.report.wording import clean, count, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceguard.model import CallPaths

_OFF = ("off", "false", "control", "0", "disabled", "no", "none", "default")


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups that were found, and the two that are compared, if there are two."""

    found: Sequence[Mapping[str, Any]]
    reference: Mapping[str, Any] | None
    affected: Mapping[str, Any] | None
    paths: CallPaths | None
    noun: str = "variant"  # what tells the groups apart: a variant of a flag, or a version of a service

    @property
    def title(self) -> str:
        """Who is compared."""
        if self.reference is None or self.affected is None:
            return ""
        where = f"{self.reference['operation']} of {self.reference['service']}"
        return clean(f"{where}: {self.affected['variant']} against {self.reference['variant']}")

    @property
    def flame(self) -> flame.Flame | None:
        """Where the time of both goes."""
        return flame.draw(self.paths) if self.paths is not None else None

    @property
    def table(self) -> Table:
        """The numbers of all groups."""
        rows = tuple(
            (
                clean(f"{row['operation']} of {row['service']}"), clean(row["variant"]), count(row["requests"]),
                percent(row["errors"] / row["requests"]),
                *(quantity(row[f"{name}_ms"], "ms") for name in ("mean", "p50", "p95")),
            )
            for row in self.found
        )  # fmt: skip
        columns = ("entry point", self.noun, "requests", "failed", "mean", "p50", "p95")
        return Table(columns, rows, frozenset(range(2, 7)))


def choose(
    found: Sequence[Mapping[str, Any]], reference: str, affected: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The two groups to compare at the busiest entry point that has both.

    The reference is what sounds like off, the version that began first, or the commonest.
    """
    by: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in found:
        by.setdefault((row["service"], row["operation"]), []).append(row)
    for rows in sorted(by.values(), key=lambda rows: -sum(row["requests"] for row in rows)):
        ordered = sorted(
            rows, key=lambda row: (row["variant"].lower() not in _OFF, row["first_ns"] or 0, -row["requests"])
        )
        first = next((r for r in ordered if reference in {"", r["variant"]} and r["variant"] != affected), None)
        second = next((r for r in ordered if r is not first and affected in {"", r["variant"]}), None)
        if first is not None and second is not None:
            return first, second
    return None
