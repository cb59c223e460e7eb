"""OpenSLO files (openslo.com, version v1) as objectives.

What is read: documents of `kind: SLO` with objectives of one `thresholdMetric` (a latency) or `ratioMetric` (requests
that do not fail), each with a target, budgeted by occurrences, and the length of their time window. `spec.service`
names the entry point's service; the annotation `traceguard/entry` narrows that to an operation. OpenSLO leaves a
threshold's unit to the query behind it: it is taken for seconds unless the annotation `traceguard/unit` says `ms`. The
query itself is not run: requests are those that were recorded. Whatever says more is refused in a sentence.
"""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from traceguard.errors import InputError
from traceguard.radius.objective import Objective

_SUFFIXES = {".yaml", ".yml"}
_DURATION = re.compile(r"(\d+)([mhdwMQY])")
_DAY_NS = 86_400_000_000_000
_LENGTHS = {"m": 60_000_000_000, "h": 3_600_000_000_000, "d": _DAY_NS, "w": 7 * _DAY_NS, "M": 30 * _DAY_NS,
            "Q": 90 * _DAY_NS, "Y": 365 * _DAY_NS}  # fmt: skip
_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_MOST_BYTES = 4 * 2**20


def is_file(text: str) -> bool:
    """Whether a text names a file of objectives: it ends as such files do."""
    return Path(text.strip()).suffix.lower() in _SUFFIXES


def read(path: Path) -> list[Objective]:
    """The objectives of a file; InputError for one that cannot be read, or says what a forecast cannot answer."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); name an OpenSLO file.") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} is larger than 4 MiB; name a file of objectives.")
    return parse(content, str(path))


def parse(content: bytes, name: str) -> list[Objective]:
    """The objectives of a file's content; `name` stands in errors."""
    import yaml

    try:
        documents = [each for each in yaml.safe_load_all(content) if each is not None]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name} is not YAML ({reason}); name an OpenSLO file.") from error
    indicators = {
        _at(each, "metadata", "name"): _at(each, "spec") for each in documents if _at(each, "kind") == "SLI"
    }  # fmt: skip
    slos = [each for each in documents if _at(each, "kind") == "SLO"]
    if not slos:
        raise InputError(f"{name} holds no document of kind SLO; name an OpenSLO file.")
    return [objective for slo in slos for objective in _objectives(slo, indicators, name)]


def _objectives(slo: Any, indicators: Mapping[Any, Any], name: str) -> Iterator[Objective]:
    called = _at(slo, "metadata", "name") or "an SLO without a name"
    where = f"{name}: {called}"
    if _at(slo, "apiVersion") != "openslo/v1":
        raise InputError(f"{where} has the apiVersion {_at(slo, 'apiVersion')!r}; only openslo/v1 is read.")
    method = _at(slo, "spec", "budgetingMethod") or "Occurrences"
    if method != "Occurrences":
        raise InputError(
            f"{where} is budgeted by {method}, which counts slices of time, but a forecast counts requests; use"
            " Occurrences."
        )
    scale = _scale(slo, indicators, where)
    service, entry = _at(slo, "spec", "service"), _at(slo, "metadata", "annotations", "traceguard/entry")
    if service is not None and not isinstance(service, str):
        raise InputError(f"{where} has a service that is no text; name the entry point's service.")
    concerned = " ".join(str(part) for part in (service, entry) if part) or None
    window = _window(_at(slo, "spec", "timeWindow"), where)
    goals = _at(slo, "spec", "objectives")
    if not isinstance(goals, list) or not goals:
        raise InputError(f"{where} has no objectives; add one with a target.")
    for goal in goals:
        yield _objective(goal, scale, concerned, window, where)


def _scale(slo: Any, indicators: Mapping[Any, Any], where: str) -> int | None:
    """The nanoseconds of a latency's unit; None where it is the requests that do not fail."""
    reference = _at(slo, "spec", "indicatorRef")
    spec = _at(slo, "spec", "indicator", "spec") if reference is None else indicators.get(reference)
    if spec is None and reference is not None:
        raise InputError(f"{where} refers to the indicator {reference!r}, which the file lacks; add its SLI document.")
    if spec is None:
        raise InputError(f"{where} has no indicator; add one with a thresholdMetric or a ratioMetric.")
    if _at(spec, "ratioMetric") is not None:
        if not any(_at(spec, "ratioMetric", side) is not None for side in ("good", "bad")):
            raise InputError(f"{where} has a ratioMetric without good or bad events, which a forecast cannot count.")
        return None
    if _at(spec, "thresholdMetric") is None:
        raise InputError(f"{where} has neither a thresholdMetric nor a ratioMetric, so there is nothing to compare.")
    unit = _at(slo, "metadata", "annotations", "traceguard/unit") or "s"
    if unit not in _UNITS:
        raise InputError(f"{where} has the unit {unit!r}; traceguard/unit is one of {', '.join(_UNITS)}.")
    return _UNITS[unit]


def _objective(
    goal: Any, scale: int | None, concerned: str | None, window: tuple[int, str] | None, where: str
) -> Objective:
    if _at(goal, "indicator") is not None or _at(goal, "indicatorRef") is not None:
        raise InputError(f"{where} is composed of several indicators; give each an SLO of its own.")
    target = _target(goal, where)
    in_window = "" if window is None else f" in {window[1]}"
    length = None if window is None else window[0]
    for_whom = "" if concerned is None else f"{concerned}: "
    if scale is None:
        text = f"{for_whom}error_rate<{_percent(1 - target)}{in_window}"
        return Objective(text, "error_rate", float(1 - target), target, concerned, length, "error_rate")
    op, value = _at(goal, "op"), _number(_at(goal, "value"))
    if op not in {"lt", "lte"}:
        raise InputError(f"{where} has the op {op!r}; a latency is good when it is lt or lte a value.")
    if value is None or value <= 0:
        raise InputError(f"{where} has no value above 0 to compare a latency with; add one.")
    limit = round(value * scale)
    sign = "<=" if op == "lte" else "<"
    text = f"{for_whom}latency{sign}{limit / 1e6:.12g}ms for {_percent(target)}{in_window}"
    return Objective(text, "latency", limit, target, concerned, length, "latency", op == "lte")


def _target(goal: Any, where: str) -> Fraction:
    whole, percent = _number(_at(goal, "target")), _number(_at(goal, "targetPercent"))
    target = whole if percent is None else percent / 100
    if target is None or not 0 < target < 1:
        raise InputError(f"{where} needs a target between 0 and 1, or a targetPercent between 0 and 100.")
    return target


def _window(windows: Any, where: str) -> tuple[int, str] | None:
    """The length of the window, ns, and as text; None where none is stated."""
    if windows is None or windows == []:
        return None
    text = _at(windows[0], "duration") if isinstance(windows, list) and len(windows) == 1 else None
    match = _DURATION.fullmatch(str(text))
    if match is None or int(match[1]) == 0:
        raise InputError(f"{where} has a timeWindow that is not one duration such as 28d; write one.")
    length = int(match[1]) * _LENGTHS[match[2]]
    days, hours = divmod(length, _DAY_NS)
    if hours == 0:
        return length, f"{days}d"
    return length, f"{length // _LENGTHS['h']}h" if length % _LENGTHS["h"] == 0 else f"{length // _LENGTHS['m']}m"


def _at(value: Any, *path: str) -> Any:
    """What lies at a path of keys; None where something else does."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _number(value: Any) -> Fraction | None:
    """A number exactly as it is written; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):.12g}%"
