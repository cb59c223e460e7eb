"""Awkward traces, one small OTLP/JSON file each, and what must come of them.

A file says in `_comment` what it shows and in `_expected` what must come out; OTLP receivers ignore both. Times are
milliseconds, those of `window` after 2026-11-23T12:00:00Z. What `_expected` leaves out has the plain value: nothing
failed, nothing missing, nothing left out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import traceguard
from traceguard.engine.local import fetch, linked_partitions, open_window
from traceguard.engine.trace_counts import TraceCounts
from traceguard.store import queries
from traceguard.traces.facts import Facts, facts_of
from traceguard.traces.link import Linked, Names
from traceguard.units import Period

FOLDER = Path(__file__).parent / "traces"
FILES = sorted(FOLDER.glob("*.json"))
NOON_NS = 1_795_435_200_000_000_000
PLAIN_REQUEST = {
    "failed": False, "origin": None, "detached": False, "incomplete": False, "ambiguous_ms": 0, "overlapped_ms": 0,
}  # fmt: skip
PLAIN_TRACES = {"incomplete_traces": 0, "fragments": 0, "streams": {}, "ends_before_start": 0, "caused": []}


def component_name(names: Names, component: int) -> str:
    """`service operation self`, or inbound."""
    return " ".join(names.component(component))


def request_of(facts: Facts, i: int, names: Names) -> dict[str, Any]:
    """Request number `i` as the files write it."""
    rows = slice(int(facts.first[i]), int(facts.first[i + 1]))
    named = [component_name(names, c) for c in facts.component[rows]]
    entry = component_name(names, 2 * int(facts.entry[i])).removesuffix(" self")
    return {
        "entry": entry,
        "ms": facts.dur[i] / 1e6,
        "time_ms": {name: t / 1e6 for name, t in zip(named, facts.time[rows].tolist(), strict=True) if t},
        "calls": {
            name.removesuffix(" self"): calls
            for name, calls in zip(named, facts.calls[rows].tolist(), strict=True)
            if calls
        },
        "failed": bool(facts.failed[i]),
        "origin": component_name(names, int(facts.origin[i])) if facts.origin[i] >= 0 else None,
        "detached": bool(facts.detached[i]),
        "incomplete": bool(facts.incomplete[i]),
        "ambiguous_ms": facts.ambiguous[i] / 1e6,
        "overlapped_ms": facts.overlapped[i] / 1e6,
    }


def fragments_of(linked: Linked) -> int:
    """The torn-off requests of a partition."""
    return int(np.count_nonzero(linked.fragment & ~linked.evaluation[linked.root]))


def outcome(file: Path, db: Path, window: dict[str, int]) -> dict[str, Any]:
    """Everything that the files may state, as traceguard sees it."""
    traceguard.ingest([file], db=db)
    period = Period(*(NOON_NS + window[k] * 1_000_000 if k in window else None for k in ("since", "until")))
    with traceguard.open(db) as store, store.cursor() as cursor:
        found = open_window(cursor, period, None)
        partitions = list(linked_partitions(cursor, found))
        requests, counts = [], TraceCounts(found)
        for linked in partitions:
            facts = facts_of(linked)
            requests += [request_of(facts, i, found.names) for i in range(facts.dur.size)]
            counts.add(linked)
        caused = queries.run(cursor, "caused_requests", {}).to_pylist()
        broken = int(fetch(cursor, "clock_faults")["spans"][0])
    return {
        "requests": sorted(requests, key=lambda r: (r["entry"], r["ms"])),
        "incomplete_traces": sum(int(linked.incomplete.sum()) for linked in partitions),
        "fragments": sum(fragments_of(linked) for linked in partitions),
        "streams": counts.streams(np.ones(found.trace_hash.size, dtype=np.bool_)),
        "ends_before_start": broken,
        "caused": [
            [f"{row['service']} {row['operation']}", row["joined_by"], row["cause_service"], row["cause_operation"]]
            for row in caused
        ],
    }


def expectation(stated: dict[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """The window that a file asks about, and all that must come out, with what it leaves unsaid."""
    expected = {**PLAIN_TRACES, **stated["_expected"]}
    window = expected.pop("window", {})
    expected["requests"] = [PLAIN_REQUEST | request for request in expected["requests"]]
    return window, expected


def retold(text: str, shift_ns: int) -> str:
    """The same traces, differently: other order, every export twice, unknown attributes, all clocks moved."""
    document = json.loads(text)
    unknown = {"key": "unheard.of", "value": {"arrayValue": {"values": [{"intValue": "7"}, {}]}}}
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"].reverse()
            for span in scope["spans"]:
                span["attributes"] = [unknown, *span.get("attributes", [])]
                span["unheardOf"] = {"deep": [None]}
                for end in ("startTimeUnixNano", "endTimeUnixNano"):
                    span[end] = str(int(span[end]) + shift_ns)
    document["resourceSpans"] = document["resourceSpans"][::-1] * 2
    return json.dumps(document)


def test_the_folder_is_not_empty() -> None:
    """A lost folder must not pass as no failures."""
    assert len(FILES) >= 25


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_awkward_trace(file: Path, tmp_path: Path) -> None:
    """What a file expects is what ingesting and analysing it gives, to the nanosecond."""
    stated = json.loads(file.read_text(encoding="utf-8"))
    assert stated["_comment"]
    window, expected = expectation(stated)
    got = outcome(file, tmp_path / "golden.duckdb", window)
    for request in got["requests"]:
        assert sum(round(ms * 1e6) for ms in request["time_ms"].values()) == round(request["ms"] * 1e6)
    assert got == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_order_repeats_unknown_attributes_and_clocks_change_nothing(file: Path, tmp_path: Path) -> None:
    """However the same traces are told, the same comes of them."""
    text = file.read_text(encoding="utf-8")
    window, expected = expectation(json.loads(text))
    other = tmp_path / file.name
    other.write_text(retold(text, shift_ns=90_061_000_000_001), encoding="utf-8")
    moved = {name: at + 90_061_000 for name, at in window.items()}
    assert outcome(other, tmp_path / "golden.duckdb", moved) == expected
