"""The service, operation or flag that the user named, or the nearest names that the store knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.errors import UnknownNameError, UsageError
from traceguard.store import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

    from traceguard.radius.objective import Objective


_SERVICES = "SELECT DISTINCT service FROM spans"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked about: a service, one operation of a service, or a flag (at one variant, or at any).

    `read_by` are services that will read the flag, which then need not exist yet.
    """

    service: str | None = None
    operation: str | None = None
    flag: str | None = None
    variant: str | None = None
    read_by: tuple[str, ...] = ()
    inferred: bool = False  # the service sent no spans; its callers name it

    @property
    def flag_text(self) -> str | None:
        """The flag as a user writes it: `KEY` or `KEY=VARIANT`."""
        return self.flag if self.variant is None else f"{self.flag}={self.variant}"


def find_target(
    cursor: "duckdb.DuckDBPyConnection",
    *,
    service: str | None = None,
    operation: str | None = None,
    flag: str | None = None,
    read_by: Sequence[str] = (),
    systems: "Callable[[], Sequence[str]] | None" = None,
) -> Target:
    """The target of these options; names are looked up in the whole store, whatever the window.

    UsageError unless exactly one of service and flag is given (an operation needs its service, `read_by` a flag);
    UnknownNameError with the nearest names for one that the store does not know. A flag that is `read_by` services may
    be unknown. `systems` gives the names of what sent no spans, where that can be asked about.
    """
    if (service is None) == (flag is None):
        raise UsageError("Name either a service or a flag, and not both.")
    if flag is not None:
        if operation is not None:
            raise UsageError("An operation belongs to a service; name the service with --service and leave out --flag.")
        return _find_flag(cursor, flag, tuple(dict.fromkeys(read_by)))
    if read_by:
        raise UsageError("Services read a flag; name it with --flag, or leave out --read-by.")
    services = _column(cursor, _SERVICES)
    if service not in services and systems is not None:
        others = systems()
        if service in others and operation is None:
            return Target(service=service, inferred=True)
        if service in others:
            raise UsageError(f"{service} sent no spans, so its operations are not known; ask about all of it.")
        services += set(others).difference(services)
    _require(service, "service", services)
    if operation is not None:
        known = _column(cursor, "SELECT DISTINCT operation FROM spans WHERE service = $name", service)
        _require(operation, f"operation of {service}", known)
    return Target(service=service, operation=operation)


def _find_flag(cursor: "duckdb.DuckDBPyConnection", text: str, read_by: tuple[str, ...]) -> Target:
    services = _column(cursor, _SERVICES) if read_by else []
    for name in read_by:
        _require(name, "service", services)
    # A key may contain "=": an existing whole key wins, then the longest key that leaves a variant.
    keys = _column(cursor, "SELECT DISTINCT flag_key FROM flag_records")
    if text in keys:
        return Target(flag=text, read_by=read_by)
    splits = [(text[:at], text[at + 1 :]) for at in range(len(text) - 1, 0, -1) if text[at] == "="]
    for key, variant in splits:
        if key in keys:
            levels = "SELECT DISTINCT variant FROM flag_records WHERE flag_key = $name AND variant IS NOT NULL"
            variants = _column(cursor, levels, key)
            if not read_by:
                _require(variant, f"variant of {key}", variants)
            if variant in variants:
                return Target(flag=key, variant=variant, read_by=read_by)
    if read_by:
        return Target(flag=text, read_by=read_by)
    unknown = UnknownNameError.of("flag", text, keys)
    raise UnknownNameError(f"{unknown} For a flag that does not exist yet, name its readers with --read-by SERVICE.")


def _column(cursor: "duckdb.DuckDBPyConnection", sql: str, name: str | None = None) -> list[str]:
    rows = cursor.execute(sql, {"name": name}) if name is not None else cursor.execute(sql)
    return [row[0] for row in rows.fetchall()]


def _require(name: str | None, noun: str, known: list[str]) -> None:
    if name is None or name not in known:
        raise UnknownNameError.of(noun, str(name), known)


def check_objectives(cursor: "duckdb.DuckDBPyConnection", objectives: "Iterable[Objective]") -> None:
    """UnknownNameError with the nearest names where an objective names an entry point that the store does not know."""
    named = [each.entry for each in objectives if each.entry is not None]
    if not named:
        return
    pairs = cursor.execute((queries.folder() / "radius" / "entry_points.sql").read_text(encoding="utf-8")).fetchall()
    known = {name for service, operation in pairs for name in (service, operation, f"{service} {operation}")}
    for name in named:
        if name not in known:
            raise UnknownNameError.of("entry point", name, sorted({operation for _, operation in pairs}))
