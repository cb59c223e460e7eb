"""Which level the others are held against, where the user names one: `new-pricing=on`, `service.version@cart=2.8.0`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from traceguard.engine.attributes import known_values
from traceguard.engine.local import fetch
from traceguard.errors import UnknownNameError, UsageError
from traceguard.traces.factors import FIRST_LEVEL, Factor

if TYPE_CHECKING:
    import duckdb


class Reference(NamedTuple):
    """A level that is the reference of its factor."""

    kind: str
    key: str
    service: str | None
    level: str

    @property
    def name(self) -> str:
        """As the user writes it."""
        return f"{_name(self.key, self.service)}={self.level}"


def read_references(
    cursor: "duckdb.DuckDBPyConnection", texts: Sequence[str], attributes: Sequence[str] = ()
) -> tuple[Reference, ...]:
    """What `KEY=LEVEL` texts mean, KEY being a flag, `service.version@SERVICE`, or one of `attributes`.

    Both may contain `=`: a key that the store has wins, the longest of several. UsageError for what is no such text or
    names a factor twice, UnknownNameError with the nearest names for a key or a level that the store does not have.
    """
    if not texts:
        return ()
    known: dict[str, tuple[str, str, str | None, list[str]]] = {}
    for kind, key, service, level in fetch(cursor, "known_levels").iter_rows():
        # A flag may be called like anything; it comes first and keeps its name.
        known.setdefault(_name(key, service), (kind, key, service, []))[3].append(level)
    for key, values in known_values(cursor, attributes).items():
        known.setdefault(key, ("attribute", key, None, values))
    found: dict[str, Reference] = {}
    for text in texts:
        cuts = [at for at, letter in enumerate(text) if letter == "=" and at]
        if not cuts:
            raise UsageError(f"The reference {text!r} is not KEY=LEVEL; write it like new-pricing=off.")
        at = next((at for at in reversed(cuts) if text[:at] in known), None)
        if at is None:
            raise UnknownNameError.of("flag, version or attribute", text[: cuts[0]], list(known))
        kind, key, service, levels = known[text[:at]]
        level = text[at + 1 :]
        if level not in levels:
            raise UnknownNameError.of(f"level of {text[:at]}", level, levels)
        if text[:at] in found:
            raise UsageError(f"The reference of {text[:at]} is given twice; a factor has one.")
        found[text[:at]] = Reference(kind, key, service, level)
    return tuple(found.values())


def with_references(factors: Sequence[Factor], wanted: Sequence[Reference]) -> list[Factor]:
    """The factors, held against the levels that the user named; a level that they do not have changes nothing."""
    level_of = {(r.kind, r.key, r.service): r.level for r in wanted}

    def held(factor: Factor) -> Factor:
        level = level_of.get((factor.kind, factor.key, factor.service))
        if level is None or level not in factor.levels[FIRST_LEVEL:]:
            return factor
        return replace(factor, reference=factor.levels.index(level, FIRST_LEVEL), stated=True)

    return [held(factor) for factor in factors]


def _name(key: str, service: str | None) -> str:
    return key if service is None else f"{key}@{service}"
