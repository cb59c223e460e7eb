"""Files of any content are read, skipped or refused with their name; damage never does more than that."""

import gzip
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import zstandard
from builders.otlp import log_request, make_log, make_span, trace_request
from hypothesis import given, settings

from traceguard.errors import InputError
from traceguard.otlp import files
from traceguard.settings import Settings

TRACES = trace_request(make_span({"k": "v", "n": 1.5}, events=[("e", {"a": [1]})]), make_span()).SerializeToString()
LOGS = log_request(make_log({"k": "v"})).SerializeToString()

texts = st.one_of(
    st.text(max_size=6), st.sampled_from(["CHILD_OF", "FOLLOWS_FROM", "p1", "1", "0a", "string", "int64"])
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts)
tags = st.fixed_dictionaries(
    {},
    optional={
        "key": st.one_of(texts, st.sampled_from(["span.kind", "error", "event", "otel.status_code"])),
        "type": st.sampled_from(["string", "bool", "int64", "float64", "binary", "other"]),
        "value": scalars,
    },
)
tag_lists = st.one_of(st.none(), st.lists(tags, max_size=3))
references = st.fixed_dictionaries({}, optional={"refType": texts, "traceID": texts, "spanID": texts})
processes = st.fixed_dictionaries({}, optional={"serviceName": texts, "tags": tag_lists})
jaeger_spans = st.fixed_dictionaries(
    {},
    optional={
        "traceID": texts, "spanID": texts, "parentSpanID": texts, "operationName": texts, "processID": texts,
        "flags": st.integers(0, 300), "startTime": st.integers(-5, 2**62), "duration": st.integers(-5, 2**62),
        "references": st.lists(references, max_size=3), "tags": tag_lists, "process": processes,
        "logs": st.lists(
            st.fixed_dictionaries({}, optional={"timestamp": st.integers(0, 9), "fields": tag_lists}), max_size=2
        ),
    },
)  # fmt: skip
jaeger_traces = st.fixed_dictionaries(
    {"traceID": texts},
    optional={"spans": st.lists(jaeger_spans, max_size=3), "processes": st.dictionaries(texts, processes, max_size=2)},
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the files of all examples."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def rows(folder: Path, content: bytes) -> int | None:
    """Spans and log records in a file with this content, all tables valid; None when it is refused by name."""
    file = folder / "recording"
    file.write_bytes(content)
    try:
        chunks = list(files.read(file, Settings()))
    except InputError as error:
        return None if str(file) in str(error) else -1
    for chunk in chunks:
        for table in (chunk.spans, chunk.logs, chunk.flag_records, chunk.correlations):
            table.validate(full=True)
    return sum(chunk.received for chunk in chunks)


@given(content=st.binary(max_size=300))
def test_any_content(folder: Path, content: bytes) -> None:
    """Random bytes of any beginning."""
    for lead in (b"", b"\n", b"{", b"\x00\x00\x00\x10", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"):
        assert rows(folder, lead + content) != -1


@given(document=st.lists(jaeger_traces, max_size=2))
@settings(max_examples=200)
def test_any_jaeger_document(folder: Path, document: list[Any]) -> None:
    """Whatever is missing or of a strange type, each span of the document is received, kept or refused."""
    spans = sum(len(trace.get("spans", [])) for trace in document)
    assert rows(folder, json.dumps({"data": document}).encode()) == spans


@given(data=st.data())
@settings(max_examples=200)
def test_damaged_files(folder: Path, data: st.DataObject) -> None:
    """One byte changed or the end cut off, in each form and compression."""
    framed = b"".join(struct.pack(">I", len(body)) + body for body in (TRACES, LOGS))
    document = json.dumps({"data": [{"traceID": "1", "spans": [{"traceID": "1", "spanID": "2", "tags": []}]}]}).encode()
    content = data.draw(st.sampled_from([TRACES, LOGS, framed, document]))
    content = data.draw(st.sampled_from([bytes, gzip.compress, zstandard.compress]))(content)
    at = data.draw(st.integers(0, len(content) - 1))
    assert rows(folder, content[:at]) != -1
    assert rows(folder, content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]) != -1
