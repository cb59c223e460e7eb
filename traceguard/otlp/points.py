"""How many data points a metrics request holds: all that is read of metrics, and nothing of it becomes an object.

Lengths are followed down to the points, so a body that is cut off is refused; what a point says is not looked at.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

from functools import lru_cache
from typing import Literal

import numpy as np

from traceguard.errors import InputError
from traceguard.kernels import kernel, leaf
from traceguard.otlp.json import to_protobuf
from traceguard.otlp.schema import MESSAGE, Field, Schema, tabulate
from traceguard.otlp.wire import BUFFER, field

# The five kinds of a metric's data and the numbers of their fields; each has its points in field 1.
_KINDS = {"gauge": 5, "sum": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}


def count(body: bytes | bytearray, encoding: Literal["protobuf", "json"]) -> int:
    """The data points of an ExportMetricsServiceRequest; InputError if the body is not one."""
    buf = to_protobuf(body, _schema()).wire if encoding == "json" else np.frombuffer(body, np.uint8)
    found = int(_points(buf))
    if found < 0:
        raise InputError("The body is not an OTLP protobuf request, or it is cut off; send the whole message.")
    return found


@leaf
def _of_metric(buf, a, b):
    points = np.int64(0)
    while a < b:
        tag, _, at, a = field(buf, a, b)
        if a < 0:
            return np.int64(-1)
        if tag == 42 or tag == 58 or tag == 74 or tag == 82 or tag == 90:
            while at < a:
                tag, _, _, at = field(buf, at, a)
                if at < 0:
                    return np.int64(-1)
                points += tag == 10
    return points


@leaf
def _of_resource(buf, a, b):
    points = np.int64(0)
    while a < b:
        tag, _, at, a = field(buf, a, b)
        if a < 0:
            return np.int64(-1)
        while tag == 18 and at < a:
            inner, _, start, at = field(buf, at, a)
            if at < 0:
                return np.int64(-1)
            if inner == 18:
                found = _of_metric(buf, start, at)
                if found < 0:
                    return np.int64(-1)
                points += found
    return points


@kernel(f"int64({BUFFER})", allocates=False)
def _points(buf):
    """The data points of a request, or negative when it does not parse."""
    points = np.int64(0)
    pos = np.int64(0)
    while pos < buf.size:
        tag, _, start, pos = field(buf, pos, buf.size)
        if pos < 0:
            return np.int64(-1)
        if tag == 10:
            found = _of_resource(buf, start, pos)
            if found < 0:
                return np.int64(-1)
            points += found
    return points


@lru_cache(maxsize=1)
def _schema() -> Schema:
    """A request down to its points; all other members are unknown and skipped."""

    def both(name: str, number: int, inner: str) -> dict[str, Field]:
        first, *rest = name.split("_")
        member = Field(number, MESSAGE, inner, repeated=inner != "data")
        return {name: member, first + "".join(word.title() for word in rest): member}

    metric = {
        spelling: found for name, number in _KINDS.items() for spelling, found in both(name, number, "data").items()
    }
    messages = {
        "request": both("resource_metrics", 1, "resource"),
        "resource": both("scope_metrics", 2, "scope"),
        "scope": both("metrics", 2, "metric"),
        "metric": metric,
        "data": both("data_points", 1, "point"),
        "point": {},
    }
    return tabulate(messages, {}, "request")
