"""What must hold of every input, for each of the ways in which bytes enter the decoder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from builders import otlp, redact_reference
from builders import otlp_json_reference as json_reference
from builders import otlp_reference as reference
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from traceguard.errors import InputError
from traceguard.otlp import Decoded, files, jaeger, json, points, request
from traceguard.otlp.request import decode, decode_wire
from traceguard.settings import Settings

SETTINGS = Settings(flag_prefixes=("feature_flag.", "flag.evaluation.", "ff/"))
# These need $TRACEGUARD_HASH_KEY to be redact_reference.KEY.
DROP = ("*variant", "ff/*", "a*b*", "service.version", "feature_flag.context.id", "*é*")
HASH = ("user.id", "session.*", "*request-id", "feature_flag.*", "service.instance.id", "TargetingId", "list", "object")
HIDING = replace(SETTINGS, drop_attributes=DROP, hash_attributes=HASH)
_ROOM = (
    (request, "_FIRST_TEXT", 0), (request, "_FIRST_ROWS", 1), (request, "_FIRST_WORK", 1),
    (json, "_FIRST_ROOM", 0), (jaeger, "_FIRST_ROOM", 0),
)  # fmt: skip
_TABLES = {"traces": ("spans", "flag_records", "correlations"), "logs": ("logs", "flag_records")}

Signal = Literal["traces", "logs"]


class WrongError(Exception):
    """The decoder did something else than it should have; the message is one line that names what."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way in: `run` decodes (None when the input is refused), `judge` says whether that was right.

    `run` is what the fuzzer measures; it may raise InputError and nothing else. `judge` raises WrongError.
    """

    name: str
    run: Callable[[memoryview], Any]
    judge: Callable[[bytes, Any], None]
    textual: bool = False


def _rows(decoded: Decoded, signal: Signal) -> dict[str, Any]:
    """All tables as rows, each checked by Arrow, text as valid UTF-8 included."""
    rows: dict[str, Any] = {"received": decoded.received, "refused": decoded.refused}
    for name in _TABLES[signal]:
        table = getattr(decoded, name)
        table.validate(full=True)
        rows[name] = table.to_pylist()
    return rows


def _expected(body: bytes, signal: Signal) -> dict[str, Any] | None:
    """What the slow decoder makes of a protobuf body; None when it refuses it."""
    try:
        return reference.spans(body, SETTINGS) if signal == "traces" else reference.logs(body)
    except reference.RefusedError:
        return None


def _compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """WrongError that names the first column which differs."""
    for name, rows in expected.items():
        if found[name] == rows:
            continue
        if not isinstance(rows, list) or len(rows) != len(found[name]):
            raise WrongError(f"{name}: {found[name]!r:.300} instead of {rows!r:.300}")
        for ours, theirs in zip(found[name], rows, strict=True):
            for column, value in theirs.items():
                if ours[column] != value:
                    raise WrongError(f"{name}.{column}: {ours[column]!r:.300} instead of {value!r:.300}")


def _run(body: memoryview, encoding: Literal["protobuf", "json"], signal: Signal) -> Decoded:
    return decode(body, encoding=encoding, signal=signal, settings=SETTINGS)


def _judge_protobuf(body: bytes, decoded: Decoded | None, signal: Signal) -> None:
    expected = _expected(body, signal)
    if decoded is None:
        if expected is not None:
            raise WrongError("refused, though protobuf reads it")
    elif expected is None:
        _rows(decoded, signal)
        raise WrongError("accepted, though protobuf refuses it")
    else:
        _compare(_rows(decoded, signal), expected)


def _judge_json(body: bytes, decoded: Decoded | None, signal: Signal) -> None:
    """What the slow reader of JSON makes of it, and the slow decoder of that."""
    try:
        wire = json_reference.to_wire(body, signal)
    except reference.RefusedError as refused:
        if decoded is not None:
            raise WrongError(f"accepted, though the reference refuses it: {refused}") from None
        return
    _judge_protobuf(wire, decoded, signal)


def _run_hidden(body: memoryview, signal: Signal) -> Decoded:
    return decode(body, encoding="protobuf", signal=signal, settings=HIDING)


def _judge_hidden(body: bytes, decoded: Decoded | None, signal: Signal) -> None:
    """With rules: as without, after the slow rules were at it. What is dropped may be broken or too deep inside."""
    if _expected(body, signal) is not None:
        _judge_protobuf(redact_reference.hide_in_request(body, signal, DROP, HASH), decoded, signal)
    elif decoded is not None:
        _rows(decoded, signal)


def _run_joined(body: memoryview, signal: Signal) -> Decoded:
    """A body with a good one behind it, as the server decodes what waits together."""
    return request.decode_joined([np.frombuffer(body, np.uint8), _good(signal)], signal, SETTINGS)


def _judge_joined(body: bytes, decoded: Decoded | None, signal: Signal) -> None:
    """What both are alone, one after the other; the good one never completes the first."""
    first, second = _expected(body, signal), _expected(_good(signal).tobytes(), signal)
    if first is None or second is None or decoded is None:
        if decoded is not None or (first is not None and second is not None):
            raise WrongError("accepted, though one is broken" if decoded else "refused, though both are whole")
        return
    both = {name: first[name] + second[name] for name in first if name != "refused"}
    _compare(_rows(decoded, signal), both | {"refused": first["refused"]})


@cache
def _good(signal: Signal) -> NDArray[np.uint8]:
    """A request in which nothing is refused."""
    whole = otlp.trace_request(otlp.make_span({"k": "v"}), resource={"service.name": "last"})
    return np.frombuffer(
        (whole if signal == "traces" else otlp.log_request(otlp.make_log({"k": "v"}))).SerializeToString(), np.uint8
    )


def _run_file(body: memoryview) -> list[Decoded]:
    """A file of any form; what it is decompressed from is left to the libraries that do it."""
    return list(files._read(files._Window(iter([bytes(body)])), SETTINGS, lambda _: None))


def _judge_file(_body: bytes, chunks: list[Decoded] | None) -> None:
    for chunk in chunks or []:
        _rows(chunk, "traces")
        _rows(chunk, "logs")


def _run_jaeger(body: memoryview) -> Decoded:
    return decode_wire(jaeger.to_protobuf_request(body).wire, "traces", SETTINGS)


def _judge_jaeger(body: bytes, decoded: Decoded | None) -> None:
    if decoded is None:
        return
    expected = _expected(jaeger.to_protobuf_request(body).wire.tobytes(), "traces")
    if expected is None:
        raise WrongError("became bytes that protobuf refuses")
    _compare(_rows(decoded, "traces"), expected)


def _judge_metrics(body: bytes, points: int | None) -> None:
    """What protobuf reads has as many points as its objects; what it refuses deeper than the points may be taken."""
    try:
        request = ExportMetricsServiceRequest.FromString(body)
    except DecodeError:
        return
    metrics = [m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics]
    expected = sum(len(getattr(metric, kind).data_points) for metric in metrics if (kind := metric.WhichOneof("data")))
    # A second kind of data in one metric replaces the first for protobuf; the points of both are counted.
    if points is None or points < expected:
        raise WrongError(f"points: {points} instead of {expected}")


TARGETS = (
    *(
        Target(
            f"protobuf-{signal}",
            partial(_run, encoding="protobuf", signal=signal),
            partial(_judge_protobuf, signal=signal),
        )
        for signal in _TABLES
    ),
    *(
        Target(
            f"json-{signal}",
            partial(_run, encoding="json", signal=signal),
            partial(_judge_json, signal=signal),
            textual=True,
        )
        for signal in _TABLES
    ),
    *(
        Target(f"hidden-{signal}", partial(_run_hidden, signal=signal), partial(_judge_hidden, signal=signal))
        for signal in _TABLES
    ),
    *(
        Target(f"joined-{signal}", partial(_run_joined, signal=signal), partial(_judge_joined, signal=signal))
        for signal in _TABLES
    ),
    Target("file", _run_file, _judge_file),
    Target("metrics", partial(points.count, encoding="protobuf"), _judge_metrics),
    Target("jaeger", _run_jaeger, _judge_jaeger, textual=True),
)


def check(target: Target, body: bytes, place: Callable[[bytes], memoryview]) -> None:
    """Run one input and judge it; whatever is wrong is a WrongError."""
    decoded = attempt(target, place(body))
    target.judge(body, decoded)


@contextmanager
def _little_room() -> Iterator[None]:
    """Buffers that are too small at first, so that the loops run out of room in all places and start again."""
    with ExitStack() as stack:
        for module, name, size in _ROOM:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, size)
        yield


def attempt(target: Target, body: memoryview, *, tight: bool = False) -> Any:
    """Run one input: what it became, or None when it is refused in words; with little room if it shall be tight."""
    try:
        with _little_room() if tight else nullcontext():
            return target.run(body)
    except InputError:
        return None
    except Exception as error:
        raise WrongError(f"{type(error).__name__}: {error}") from error
