"""Cohorts: attributes that the user names become factors, filters, and what a cause is narrowed down to.

A request's value is its root's, else that of the first span that has one. An attribute with too many values for a
factor (tenants, say) still narrows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from traceguard.engine.circumstances import Read, bounded, with_reference
from traceguard.engine.left_out import LeftOut, pattern
from traceguard.engine.local import Window, fetch
from traceguard.errors import UnknownNameError, UsageError
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, Attribute, Circumstances, Factor

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cohorts:
    """What the user asks of attributes: those to compare and narrow by, and the values that requests must have.

    `named` says that the user named the attributes for this question, so that a key that nothing has is a mistake.
    """

    keys: tuple[str, ...] = ()
    named: bool = False
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()


def parse_where(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys with the values that `KEY=VALUE` texts allow them; UsageError for what is no such text."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (key and sign and value):
            raise UsageError(f"The condition {text!r} is not KEY=VALUE; write it like tenant.id=t42.")
        found.setdefault(key, []).append(value)
    return tuple((key, tuple(dict.fromkeys(values))) for key, values in found.items())


def read_attribute(cursor: "duckdb.DuckDBPyConnection", window: Window, key: str) -> Attribute:
    """The value that each trace of the window has of an attribute."""
    rows = fetch(cursor, "trace_attribute", key=key)
    values = tuple(sorted(rows["level"].unique()))
    code = np.full(window.trace_hash.size, -1, dtype=np.int32)
    numbers = rows["level"].replace_strict(values, range(len(values))) if values else rows["level"]
    code[window.rows_of(rows["trace"].to_numpy())] = numbers.to_numpy() if values else 0
    return Attribute(key, values, code)


def read_attributes(cursor: "duckdb.DuckDBPyConnection", window: Window, cohorts: Cohorts) -> tuple[Attribute, ...]:
    """The attributes of the cohorts. UsageError for a named one that no span of the window has."""
    attributes = tuple(read_attribute(cursor, window, key) for key in cohorts.keys)
    for attribute in attributes if cohorts.named and window.trace_hash.size else ():
        _refuse_unknown(attribute, "--attribute")
    return attributes


def with_attributes(read: Read, cursor: "duckdb.DuckDBPyConnection", window: Window, cohorts: Cohorts) -> Read:
    """The circumstances with the attributes, and with a factor for each that has few or common values.

    UsageError for a named attribute that no span of the window has.
    """
    attributes = read_attributes(cursor, window, cohorts)
    factors, columns = list(read.factors), [read.circumstances.levels]
    for attribute in attributes:
        counts = np.bincount(attribute.code[attribute.code >= 0], minlength=len(attribute.values))
        if counts.size < 2 or not bounded(counts):
            continue
        codes = np.where(attribute.code >= 0, attribute.code + FIRST_LEVEL, ABSENT).astype(np.int16)
        factor = Factor("attribute", attribute.key, None, ("", "", *attribute.values), FIRST_LEVEL)
        factors.append(with_reference(factor, codes, window.begun))
        columns.append(codes[:, None])
    circumstances = Circumstances(window.trace_hash, np.concatenate(columns, axis=1), read.circumstances.unit)
    return replace(read, factors=tuple(factors), circumstances=circumstances, attributes=attributes)


def only_where(left_out: LeftOut, cursor: "duckdb.DuckDBPyConnection", window: Window, cohorts: Cohorts) -> LeftOut:
    """Also leave out what has none of the values that the conditions allow; `*` in them stands for any text.

    UsageError for an attribute that no span of the window has, UnknownNameError for a value that none has.
    """
    rules, trace = list(left_out.rules), left_out.trace.copy()
    for key, wanted in cohorts.where if window.trace_hash.size else ():
        attribute = read_attribute(cursor, window, key)
        _refuse_unknown(attribute, "--where")
        kept: NDArray[np.bool_] = np.zeros(trace.size, dtype=np.bool_)
        for text in wanted:
            fitting = [i for i, value in enumerate(attribute.values) if pattern(text).fullmatch(value)]
            if not fitting:
                raise UnknownNameError.of(f"value of {key}", text, list(attribute.values))
            kept |= np.isin(attribute.code, fitting)
        trace[(trace < 0) & ~kept] = len(rules)
        rules.append(("attribute", f"{key} != {', '.join(wanted)}"))
    return replace(left_out, rules=tuple(rules), trace=trace)


def known_values(cursor: "duckdb.DuckDBPyConnection", keys: Sequence[str]) -> Mapping[str, list[str]]:
    """The values of attributes in the whole store."""
    return {key: fetch(cursor, "attribute_levels", key=key)["level"].to_list() for key in keys}


def _refuse_unknown(attribute: Attribute, option: str) -> None:
    if not attribute.values:
        raise UsageError(f"No span of the window has the attribute {attribute.key!r}; name another with {option}.")
