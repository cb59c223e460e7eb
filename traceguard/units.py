"""Text to quantities and back: times, periods, durations, rates, sizes. Times inside are nanoseconds since the epoch.

Accepted forms follow the command line's promise: RFC 3339 or relative times (`-15m`), periods as `START/END`, durations
with a unit (`250us`, `50ms`, `2s`), rates as a fraction or a percentage (`0.01`, `1%`), sizes with a unit (`64MiB`,
`50GB`). Anything else is a `UsageError`.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from traceguard.errors import UsageError

_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
             "h": 3_600_000_000_000, "d": 86_400_000_000_000}  # fmt: skip
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h|d)")
_UNITS_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
                "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?B)", re.IGNORECASE | re.ASCII)
_FRACTION_OF_SECOND = re.compile(r"\.(\d+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open span of time `[start_ns, end_ns)` in nanoseconds since the epoch; None leaves that side open."""

    start_ns: int | None = None
    end_ns: int | None = None


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `50ms`; a sign is kept, so callers decide whether negatives make sense."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration; write a number with a unit, such as 50ms, 2s or 7d.")
    ns = float(match[1]) * _UNITS_NS[match[2]]
    if math.isinf(ns):
        raise UsageError("A duration with so many digits is no number that can be reckoned with.")
    return round(ns)


def parse_size(text: str) -> int:
    """Bytes of a size such as `64MiB` (of 1024) or `50GB` (of 1000); the unit's case does not matter."""
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS_BYTES.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"{text!r} is not a size; write a number with a unit, such as 512MB, 64MiB or 50GB.")
    return round(float(match[1]) * unit)


def parse_time(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time, or of a time relative to `now_ns` such as `-15m` or `now`."""
    text = text.strip()
    if text == "now":
        return now_ns
    if text.startswith("-") and _DURATION.fullmatch(text):
        return now_ns + parse_duration(text)
    # datetime keeps microseconds only; the digits below are added by hand so that a nanosecond bound stays exact.
    fraction = _FRACTION_OF_SECOND.search(text)
    whole = text if fraction is None else text.replace(fraction[0], "", 1)
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        message = f"{text!r} is not a time; write RFC 3339 such as 2026-11-23T12:00:00Z, or relative such as -15m."
        raise UsageError(message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - _EPOCH
    nanos = 0 if fraction is None else int(fraction[1][:9].ljust(9, "0"))
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + nanos


def parse_period(text: str, now_ns: int) -> Period:
    """A `START/END` period; START must lie before END."""
    start, slash, end = text.partition("/")
    if not slash or not start or not end:
        raise UsageError(
            f"{text!r} is not a period; write START/END, such as 2026-11-23T12:00:00Z/2026-11-23T13:00:00Z."
        )
    period = Period(parse_time(start, now_ns), parse_time(end, now_ns))
    if period.start_ns >= period.end_ns:  # type: ignore[operator]
        raise UsageError(f"The period {text!r} ends before it starts; write the earlier time first.")
    return period


def parse_fraction(text: str | float, name: str) -> float:
    """A share between 0 and 1, given as `0.05` or `5%`; `name` says in the error which option was meant."""
    try:
        value = float(text[:-1]) / 100 if isinstance(text, str) and text.strip().endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"{name} {text!r} is not a number; write a share such as 0.05 or 5%.") from None
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} {text!r} lies outside 0 to 1; write a share such as 0.05 or 5%.")
    return value


def parse_switch(text: str | bool, name: str) -> bool:
    """Something that is on or off, given as `true` or `false` (also `1`, `0`); `name` says which option was meant."""
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[str(text).lower()]
    except KeyError:
        raise UsageError(f"{name} {text!r} is neither true nor false.") from None


def counted(number: float, noun: str) -> str:
    """A number of things: `1 request`, `2,000 requests`."""
    return f"{number:,.0f} {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def format_time(ns: int | None) -> str | None:
    """RFC 3339 in UTC with nanoseconds trimmed of trailing zeros; None stays None."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    fraction = f"{rest:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def format_duration(ns: int) -> str:
    """A duration for people, in the largest unit that divides it: `7 days`, `90 seconds`."""
    for unit, factor in (("day", "d"), ("hour", "h"), ("minute", "m"), ("second", "s"), ("millisecond", "ms")):
        count, rest = divmod(ns, _UNITS_NS[factor])
        if rest == 0 and count:
            return counted(count, unit)
    return f"{ns} nanoseconds"


def format_size(size: int) -> str:
    """Bytes for people: in units of 1024 where they divide it, else of 1000, to three digits."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size % factor == 0 and 0 < size // factor < 1024:
            return f"{size // factor} {unit}"
    rounded = float(f"{size:.3g}")  # first: 999,999 bytes are 1 MB, never 1e+03 kB
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if rounded >= factor:
            return f"{rounded / factor:g} {unit}"
    return f"{size} bytes"


def format_ms(value: float) -> str:
    """Milliseconds for people: three significant digits and a unit that fits (µs, ms, s)."""
    value = float(f"{value:.3g}")  # rounded first: 999.6 ms is a second, never 1e+03 ms
    size = abs(value)
    if size >= 1000:
        return f"{value / 1000:.3g} s" if size < 1_000_000 else f"{value / 1000:,.0f} s"
    return f"{value:.3g} ms" if size >= 1 or size == 0 else f"{value * 1000:.3g} µs"
