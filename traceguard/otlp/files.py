"""Files into tables: every form in which people keep OTLP, told apart by content, in chunks of bounded size.

OTLP/JSON (one request, or any number in a row), OTLP protobuf (one request, or the Collector file exporter's frames:
four bytes of length before each, the payload perhaps compressed by itself), Jaeger JSON; the whole plain, gzip or
zstd. Metrics are skipped with a warning. What cannot be read raises InputError with the file's name; chunks that came
before the damage have been handed out by then.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import InputError
from traceguard.otlp.columns import Decoded
from traceguard.settings import Settings

CHUNK = 8 * 2**20  # bytes decoded at once: some 24,000 spans, and about twenty times that in memory
_LARGEST_PIECE = 2**28  # one indivisible piece: a single ResourceSpans, a single frame
_READ = 2**20
_HEAD = 2**16  # bytes by which a form is told
_TELLING = 16  # fewer bytes tell no form

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TRACE_MEMBERS, _LOG_MEMBERS = (b"resourceSpans", b"resource_spans"), (b"resourceLogs", b"resource_logs")
_METRIC_MEMBERS = (b"resourceMetrics", b"resource_metrics")
_JAEGER_MEMBER = b'"traceID"'

Form = Literal["json", "protobuf", "frames", "empty", "unknown"]
Warn = Callable[[str], None]


def _silent(_message: str) -> None:
    """The default for `warn`: nobody listens."""


def find(paths: Iterable[str | Path], warn: Warn = _silent) -> list[Path]:
    """The files to read: named ones as they are (`-` too), folders searched through in order of their names.

    In folders, hidden files and files that are no telemetry are left out, the latter with a warning each. A missing
    path, and a damaged file that may well be telemetry, is found out when it is read.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if str(path) == "-" or not path.is_dir():
            found.append(path)
            continue
        for file in sorted(path.rglob("*")):
            if any(part.startswith(".") for part in file.relative_to(path).parts) or not file.is_file():
                continue
            if _is_telemetry(file):
                found.append(file)
            else:
                warn(f"Skipped {file}: it holds no OTLP or Jaeger JSON.")
    return found


def read(path: str | Path, settings: Settings, warn: Warn = _silent) -> Iterator[Decoded]:
    """The spans and log records of one file (`-` is standard input) in chunks; nothing for an empty file.

    `warn` is called with a sentence for what is skipped. InputError names the file when it is missing, truncated or
    of no known form.
    """
    name = "standard input" if str(path) == "-" else str(path)
    warned: set[str] = set()

    def warn_once(what: str) -> None:
        if what not in warned:
            warned.add(what)
            warn(f"{name}: {what}")

    try:
        with _opened(path) as stream:
            window = _Window(_decompressed(stream))
            window.fill(_HEAD)
            if _form(window.head()) == "empty":
                warn_once("it is empty; nothing was loaded from it.")
            yield from _read(window, settings, warn_once)
    except InputError as error:
        message = (
            f"The file {name} cannot be read: {error}"
            if name != "standard input"
            else f"Standard input cannot be read: {error}"
        )
        raise InputError(message) from None
    except OSError as error:
        message = f"The file {name} cannot be opened: {error.strerror or error}; check the path and its permissions."
        raise InputError(message) from None


def _is_telemetry(file: Path) -> bool:
    """Whether the file's head looks like something that `read` can take, or too little of it is legible to tell."""
    damaged = False
    try:
        with file.open("rb") as stream:
            window = _Window(_decompressed(stream))
            try:
                window.fill(_HEAD)
            except InputError:
                damaged = True
    except OSError:
        return True  # `read` says why it cannot be opened
    form = _form(window.head())
    if damaged and (form in {"json", "empty"} or len(window) < _TELLING):
        return True
    if form != "json":
        return form in {"protobuf", "frames"}
    members = (*_TRACE_MEMBERS, *_LOG_MEMBERS, *_METRIC_MEMBERS, _JAEGER_MEMBER)
    return any(member in window.head() for member in members)


@contextmanager
def _opened(path: str | Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with Path(path).open("rb") as stream:
        yield stream


def _decompressed(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream's bytes in pieces, decompressed when they begin like gzip or zstd (one member or several)."""
    head = stream.read(4)
    if head.startswith(_GZIP):
        yield from _inflated(stream, head, lambda: zlib.decompressobj(wbits=31))
    elif head == _ZSTD:
        import zstandard

        yield from _inflated(stream, head, lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj())
    else:
        yield head
        while piece := stream.read(_READ):
            yield piece


def _inflated(stream: IO[bytes], head: bytes, begin: Callable[[], object]) -> Iterator[bytes]:
    """Decompress member after member; InputError when one is damaged or cut off."""
    import zstandard

    member, piece = begin(), head
    untouched = False  # a member has begun but got no byte yet
    try:
        while piece:
            # In small steps: 64 KiB of gzip hold at most 64 MiB.
            for start in range(0, len(piece), _HEAD):
                rest = piece[start : start + _HEAD]
                while rest:
                    yield member.decompress(rest)  # type: ignore[attr-defined]
                    untouched = False
                    rest = b""
                    if member.eof:  # type: ignore[attr-defined]
                        rest = member.unused_data.lstrip(b"\0")  # type: ignore[attr-defined]
                        member, untouched = begin(), True
            piece = stream.read(_READ)
    except (zlib.error, zstandard.ZstdError) as error:
        message = f"its compressed data is damaged ({error}); copy the file again."
        raise InputError(message) from None
    if not untouched:
        message = "its compressed data ends too early; copy the whole file."
        raise InputError(message)


class _Window:
    """The part of a stream that is in memory: grows at the end as pieces come, shrinks in front as they are used."""

    __slots__ = ("_bytes", "_pieces", "ended")

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._bytes = bytearray()
        self._pieces = pieces
        self.ended = False

    def __len__(self) -> int:
        return len(self._bytes)

    def fill(self, size: int) -> None:
        """Read on until there are `size` bytes, or the stream ends."""
        while len(self._bytes) < size and not self.ended:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            else:
                self._bytes += piece

    def grow(self) -> None:
        """Read on, twice as much as there is, because a piece is larger; InputError beyond the largest piece."""
        if len(self._bytes) > _LARGEST_PIECE:
            message = f"it holds a single piece of more than {_LARGEST_PIECE} bytes; write smaller batches."
            raise InputError(message)
        self.fill(2 * len(self._bytes))

    def head(self) -> bytes:
        return bytes(self._bytes[:_HEAD])

    def front(self, end: int) -> bytes:
        """A copy of the first `end` bytes."""
        return bytes(memoryview(self._bytes)[:end])

    def array(self) -> NDArray[np.uint8]:
        """All bytes, as a read-only array to look at; the window cannot change while anyone holds it."""
        view = np.frombuffer(self._bytes, np.uint8)
        view.flags.writeable = False
        return view

    def drop(self, end: int, replacement: bytes = b"") -> None:
        """Forget the first `end` bytes, and put `replacement` in their place."""
        self._bytes[:end] = replacement


def _form(head: bytes) -> Form:
    """The form of a file by its first bytes.

    A protobuf request begins with the tag of field 1, which is also a line feed: text is what has no other control
    characters. Frames begin with a length below 2^27, and a request in each.
    """
    text = head.removeprefix(_BYTE_ORDER_MARK)
    stripped = text.lstrip(b" \t\r\n")
    if not stripped:
        return "empty"
    if stripped[:1] == b"{" and not any(byte < 32 and byte not in b"\t\r\n" for byte in text[:512]):
        return "json"
    if head[:1] == b"\n":
        return "protobuf"
    if (
        len(head) >= 4
        and head[0] < 8
        and (head[:4] == bytes(4) or head[4:5] in {b"\n", b"{"} or head[4:8] == _ZSTD or head[4:6] == _GZIP)
    ):
        return "frames"
    return "unknown"


def _read(window: _Window, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    window.fill(_HEAD)
    form = _form(window.head())
    if form == "json":
        yield from _read_json(window, settings, warn)
    elif form == "protobuf":
        yield from _read_protobuf(window, settings, warn)
    elif form == "frames":
        yield from _read_frames(window, settings, warn)
    elif form == "unknown":
        message = "it is neither OTLP (JSON or protobuf) nor Jaeger JSON; name another file."
        raise InputError(message)


def _read_json(window: _Window, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    """Whole documents while there are some; of one that is larger than a chunk, its outermost array's elements."""
    from traceguard.otlp import framing

    cut = np.empty(4, np.int64)
    window.fill(CHUNK)
    if window.front(3) == _BYTE_ORDER_MARK:
        window.drop(3)
    while len(window):
        if window.ended:
            if window.front(len(window)).strip():
                yield from _decode_json(window.front(len(window)), settings, warn)
            return
        if framing.json_cut(window.array(), cut) < 0:
            message = "it is not valid JSON: a bracket closes that was never opened."
            raise InputError(message)
        end, key, array, comma = (int(n) for n in cut)
        if end > 0:
            yield from _decode_json(window.front(end), settings, warn)
            window.drop(end)
        elif comma > 0 and key >= 0:
            opening = b"{" + window.front(array)[key:]
            yield from _decode_json(window.front(comma) + b"]}", settings, warn)
            window.drop(comma + 1, opening)
        else:
            window.grow()
        window.fill(CHUNK)


def _decode_json(text: bytes, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    """The spans, then the log records, of documents in a row."""
    from traceguard.otlp import jaeger
    from traceguard.otlp.json import Transcoded, to_protobuf
    from traceguard.otlp.request import decode_wire
    from traceguard.otlp.schema import of_requests

    def is_in(members: Iterable[bytes]) -> bool:
        return any(member in text for member in members)

    has_logs = is_in(_LOG_MEMBERS)
    found: list[tuple[Literal["traces", "logs"], Transcoded]] = []
    if is_in(_TRACE_MEMBERS) or not has_logs:  # read in any case, so that what is no JSON at all is found out
        found.append(("traces", to_protobuf(text, of_requests("traces"), many=True)))
    if has_logs:
        found.append(("logs", to_protobuf(text, of_requests("logs"), many=True)))
    if not any(part.known for _, part in found) and (_JAEGER_MEMBER in text or b'"data"' in text[:_HEAD]):
        found.append(("traces", jaeger.to_protobuf_request(text, many=True)))
    if is_in(_METRIC_MEMBERS):
        warn("it holds metrics, which were skipped.")
    elif not any(part.known for _, part in found) and found[0][1].unknown:
        message = "it is JSON but neither OTLP nor Jaeger's; name another file."
        raise InputError(message)
    for signal, part in found:
        if part.wire.size:
            yield decode_wire(part.wire, signal, settings)


def _read_protobuf(window: _Window, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    """One request, taken apart between its outermost fields."""
    from traceguard.otlp import framing

    signal = framing.NOTHING
    window.fill(CHUNK)
    while len(window):
        end = int(framing.protobuf_cut(window.array()))
        if end < 0 or (end < len(window) and window.ended):
            message = "it is not whole OTLP protobuf: truncated, or damaged; copy the whole file."
            raise InputError(message)
        if end == 0:
            window.grow()
            continue
        part = np.frombuffer(window.front(end), np.uint8)
        window.drop(end)
        signal = signal or int(framing.signal(part))
        yield from _decode_wire(part, signal, settings, warn)
        if signal == framing.METRICS:
            return
        window.fill(CHUNK)


def _decode_wire(part: NDArray[np.uint8], signal: int, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    from traceguard.otlp import framing
    from traceguard.otlp.request import decode_wire

    if signal == framing.METRICS:
        warn("it holds metrics, which were skipped.")
    elif part.size:
        yield decode_wire(part, "logs" if signal == framing.LOGS else "traces", settings)


def _read_frames(window: _Window, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    """The file exporter's frames, many at a time."""
    from traceguard.otlp import framing

    window.fill(CHUNK)
    inside = window.front(8)[4:8]
    if inside == _ZSTD or inside[:2] == _GZIP or inside[:1] == b"{":
        yield from _read_wrapped_frames(window, settings, warn)
        return
    result = np.zeros(3, np.int64)
    metrics = False
    while len(window):
        buf = window.array()
        traces, logs = np.empty(buf.size, np.uint8), np.empty(buf.size, np.uint8)
        end = int(framing.unframe(buf, traces, logs, result))
        del buf
        if end == 0:
            _more_of_frame(window)
            continue
        window.drop(end)
        if result[2] and not metrics:
            metrics = True
            warn("it holds metrics, which were skipped.")
        yield from _decode_wire(traces[: result[0]], framing.TRACES, settings, warn)
        yield from _decode_wire(logs[: result[1]], framing.LOGS, settings, warn)
        window.fill(CHUNK)


def _more_of_frame(window: _Window) -> None:
    """Read on until the frame at the front is whole; InputError when the file ends before."""
    size = int.from_bytes(window.front(4), "big") + 4
    if size <= _LARGEST_PIECE:
        window.fill(size)
    if len(window) < size:
        message = "its last frame is cut off, or it is no file of OTLP frames; copy the whole file."
        raise InputError(message)


def _read_wrapped_frames(window: _Window, settings: Settings, warn: Warn) -> Iterator[Decoded]:
    """Frames whose payload is compressed by itself, or JSON: each is a file of its own."""
    import io

    while len(window):
        _more_of_frame(window)
        size = int.from_bytes(window.front(4), "big") + 4
        payload = window.front(size)[4:]
        window.drop(size)
        if payload:
            yield from _read(_Window(_decompressed(io.BytesIO(payload))), settings, warn)
        window.fill(CHUNK)
