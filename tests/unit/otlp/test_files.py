"""Files in every form that people keep, told apart by content, and what is said of those that cannot be read."""

import gzip
import io
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from builders.otlp import TRACE_ID, log_request, make_log, make_span, trace_request

from traceguard.errors import InputError
from traceguard.otlp import files
from traceguard.settings import Settings

SPAN = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "op", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
LOG = {"timeUnixNano": "1", "body": {"stringValue": "hello"}}
TRACES_JSON = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, SPAN]}]}]}).encode()
LOGS_JSON = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [LOG]}]}]}).encode()
METRICS_JSON = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m"}]}]}]}).encode()
TRACES = trace_request(make_span(), make_span({"k": "v"}), resource={"service.name": "cart"}).SerializeToString()
LOGS = log_request(make_log(), make_log({"k": "v"})).SerializeToString()
METRICS = bytes.fromhex("0a0d120b12090a016d2a0412020a00")  # one gauge named m


def framed(*payloads: bytes) -> bytes:
    """The file exporter's form: a length before each payload."""
    return b"".join(struct.pack(">I", len(payload)) + payload for payload in payloads)


def counts(path: Path | str, warn: Callable[[str], None] = lambda _: None) -> tuple[int, int]:
    """Spans and log records of a file."""
    chunks = list(files.read(path, Settings(), warn))
    return sum(c.spans.num_rows for c in chunks), sum(c.logs.num_rows for c in chunks)


FORMS = {
    "one JSON request": (TRACES_JSON, (2, 0)),
    "indented": (json.dumps(json.loads(TRACES_JSON), indent=2).encode(), (2, 0)),
    "byte-order mark": (b"\xef\xbb\xbf" + TRACES_JSON, (2, 0)),
    "a leading line feed": (b"\n\n" + TRACES_JSON, (2, 0)),
    "JSON log records": (LOGS_JSON, (0, 1)),
    "one per line": (TRACES_JSON + b"\n" + LOGS_JSON + b"\n" + TRACES_JSON + b"\n", (4, 1)),
    "one per line, the last without an end": (LOGS_JSON + b"\r\n" + LOGS_JSON, (0, 2)),
    "an empty JSON request": (b"{}", (0, 0)),
    "one protobuf request": (TRACES, (2, 0)),
    "protobuf log records": (LOGS, (0, 2)),
    "frames": (framed(TRACES, TRACES, b"", TRACES), (6, 0)),
    "frames of both": (framed(LOGS, TRACES), (2, 2)),
    "frames compressed one by one": (framed(zstandard.compress(TRACES), zstandard.compress(LOGS)), (2, 2)),
    "frames of JSON": (framed(TRACES_JSON, LOGS_JSON), (2, 1)),
    "nothing": (b"", (0, 0)),
    "white space": (b" \n\n", (0, 0)),
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "gzip in two members": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    "zstd in two members": lambda data: zstandard.compress(data[:7]) + zstandard.compress(data[7:]),
    "zstd without its size": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_compression(tmp_path: Path, form: str, compression: str) -> None:
    """What a file holds is told by its content, whatever its name."""
    content, expected = FORMS[form]
    file = tmp_path / "recording"
    file.write_bytes(COMPRESSIONS[compression](content))
    assert counts(file) == expected


@pytest.mark.parametrize("form", FORMS)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """`-` reads the same forms from standard input."""
    content, expected = FORMS[form]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert counts("-") == expected


@pytest.mark.parametrize("content", [METRICS_JSON, METRICS, framed(METRICS)])
def test_metrics_are_skipped_and_told(tmp_path: Path, content: bytes) -> None:
    """Metrics are no error, and the warning names the file."""
    file, warnings = tmp_path / "metrics", list[str]()
    file.write_bytes(content)
    assert counts(file, warnings.append) == (0, 0)
    assert [str(file) in warning and "metrics" in warning for warning in warnings] == [True]


BAD = {
    "text": b"hello",
    "other JSON": b'{"name": "package", "version": 1}',
    "a JSON list": b"[1, 2]",
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "truncated JSON": TRACES_JSON[:-9],
    "a truncated line": TRACES_JSON + b"\n" + TRACES_JSON[:30],
    "brackets that close too often": TRACES_JSON + b"}",
    "truncated protobuf": TRACES[:-3],
    "damaged protobuf": TRACES.replace(b"\x10" + TRACE_ID, b"\xf0" + TRACE_ID),
    "a truncated frame": framed(TRACES)[:-3],
    "truncated gzip": gzip.compress(TRACES)[:-9],
    "damaged gzip": gzip.compress(TRACES)[:20] + b"\xff\xff\xff" + gzip.compress(TRACES)[23:],
    "truncated zstd": zstandard.compress(TRACES)[:-4],
}


@pytest.mark.parametrize("kind", BAD)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, kind: str) -> None:
    """One sentence names the file and says what is wrong."""
    file = tmp_path / "recording"
    file.write_bytes(BAD[kind])
    with pytest.raises(InputError) as caught:
        counts(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A named path that is not there is the reader's to report, so that other files still load."""
    assert files.find([tmp_path / "none"]) == [tmp_path / "none"]
    with pytest.raises(InputError, match="none"):
        counts(tmp_path / "none")


def test_folders_are_searched_and_other_files_skipped_with_a_warning(tmp_path: Path) -> None:
    """Files that hold telemetry are found by content at any depth; hidden ones are left out silently."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "b.pb").write_bytes(TRACES)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(TRACES_JSON))
    (tmp_path / "deep" / "er" / "c").write_bytes(framed(LOGS))
    (tmp_path / ".git" / "d.json").write_bytes(TRACES_JSON)
    (tmp_path / "README.md").write_text("# readme")
    (tmp_path / "package.json").write_text('{"name": "x"}')
    warnings: list[str] = []
    found = files.find([tmp_path], warnings.append)
    assert [str(file.relative_to(tmp_path)) for file in found] == ["a.json.gz", "b.pb", str(Path("deep/er/c"))]
    assert [any(name in warning for warning in warnings) for name in ("README.md", "package.json")] == [True, True]
    assert len(warnings) == 2


LONG = b"\n".join(TRACES_JSON.replace(b'"op"', b'"op-%d"' % number) for number in range(300))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("content", [TRACES_JSON, LONG, TRACES, TRACES * 300, framed(TRACES, TRACES)])
def test_a_cut_off_compressed_file_in_a_folder_is_bad_and_not_skipped(
    tmp_path: Path, content: bytes, compress: Callable[[bytes], bytes]
) -> None:
    """What can be read of its beginning is telemetry, or too little to tell; reading it says what is wrong."""
    whole = compress(content)
    for part in (0.2, 0.6):
        (tmp_path / "cut").write_bytes(whole[: max(8, int(len(whole) * part))])
        warnings = list[str]()
        assert files.find([tmp_path], warnings.append) == [tmp_path / "cut"]
        assert warnings == []
        with pytest.raises(InputError, match=r"cut cannot be read: its compressed data (ends too early|is damaged)"):
            counts(tmp_path / "cut")


def test_a_cut_off_compressed_text_is_still_no_telemetry(tmp_path: Path) -> None:
    """Where enough can be read to see that a damaged file is something else, it is skipped."""
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(bytes(range(32, 127)) * 9, 0)[:300])
    warnings = list[str]()
    assert files.find([tmp_path], warnings.append) == []
    assert len(warnings) == 1


@pytest.mark.parametrize("content", [b"", b" \n", gzip.compress(b"")])
def test_an_empty_file_is_told(tmp_path: Path, content: bytes) -> None:
    """Nothing to load is no error, but nobody should have to guess."""
    file, warnings = tmp_path / "nothing", list[str]()
    file.write_bytes(content)
    assert counts(file, warnings.append) == (0, 0)
    assert warnings == [f"{file}: it is empty; nothing was loaded from it."]


@pytest.mark.parametrize(
    "content",
    [
        b"\n".join([TRACES_JSON, METRICS_JSON, TRACES_JSON, METRICS_JSON]),
        framed(TRACES, METRICS, TRACES, METRICS),
        framed(TRACES_JSON, METRICS_JSON, TRACES_JSON, METRICS_JSON),
    ],
)
def test_metrics_among_traces_are_told_once(tmp_path: Path, content: bytes) -> None:
    """The traces beside them are loaded."""
    file, warnings = tmp_path / "mixed", list[str]()
    file.write_bytes(content)
    assert counts(file, warnings.append) == (4, 0)
    assert warnings == [f"{file}: it holds metrics, which were skipped."]


def test_truncated_jaeger_is_told_as_a_file(tmp_path: Path) -> None:
    """The advice fits a file that was exported, not a request that was sent."""
    file = tmp_path / "jaeger.json"
    file.write_bytes(b'{"data": [{"traceID": "1", "spans": [{"traceID": "1", "spanID"')
    with pytest.raises(InputError, match=r"its JSON is not valid .*; copy the whole file"):
        counts(file)


@pytest.mark.parametrize("form", ["document", "lines", "protobuf", "frames", "jaeger"])
def test_large_files_come_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A file larger than a chunk is cut between its pieces, and nothing is lost or counted twice."""
    monkeypatch.setattr(files, "CHUNK", 4096)
    monkeypatch.setattr(files, "_READ", 1000)
    monkeypatch.setattr(files, "_HEAD", 512)
    many = 300
    names = [f"op-{number}" for number in range(many)]
    pieces = [trace_request(make_span(name=name)).SerializeToString() for name in names]
    resource_spans: list[Any] = [{"scopeSpans": [{"spans": [SPAN | {"name": name}]}]} for name in names]
    jaeger = [
        {
            "traceID": "1",
            "spans": [{"traceID": "1", "spanID": "2", "operationName": name, "startTime": 1, "duration": 1}],
        }
        for name in names
    ]
    contents = {
        "document": json.dumps({"first": "[{,", "resourceSpans": resource_spans, "last": 1}).encode(),
        "lines": b"\n".join(json.dumps({"resourceSpans": [piece]}).encode() for piece in resource_spans),
        "protobuf": b"".join(pieces),
        "frames": framed(*pieces),
        "jaeger": json.dumps({"data": jaeger}).encode(),
    }
    file = tmp_path / "recording"
    file.write_bytes(contents[form])
    chunks = list(files.read(file, Settings()))
    assert len(chunks) > 3
    assert [name for chunk in chunks for name in chunk.spans["operation"].to_pylist()] == names


def test_a_piece_larger_than_a_chunk_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One resource with many spans cannot be cut; the window grows to hold it."""
    monkeypatch.setattr(files, "CHUNK", 4096)
    monkeypatch.setattr(files, "_READ", 1000)
    monkeypatch.setattr(files, "_HEAD", 512)
    spans = [make_span(name=f"op-{number}") for number in range(500)]
    file = tmp_path / "recording"
    file.write_bytes(trace_request(*spans).SerializeToString())
    assert counts(file) == (500, 0)
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN] * 500}]}]}))
    assert counts(file) == (500, 0)


def test_ids_survive_the_way(tmp_path: Path) -> None:
    """A file's span is the span that was written."""
    file = tmp_path / "recording"
    file.write_bytes(TRACES)
    (chunk,) = files.read(file, Settings())
    assert set(chunk.spans["trace_id"].to_pylist()) == {TRACE_ID.hex()}
    assert chunk.spans["service"].to_pylist() == ["cart", "cart"]
