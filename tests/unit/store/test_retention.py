"""Retention: what goes by age and by size, what stays, and the room that comes back."""

import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from traceguard.errors import StoreError, UsageError
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS, Decoded
from traceguard.store import Store
from traceguard.store.gate import CrowdedError
from traceguard.store.removal import Removed
from traceguard.store.retention import SPARE_BYTES, Rules, begin, end, tend
from traceguard.store.space import Space, measure, on_disk, settled

Make = Callable[..., Any]

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOW = 1_700_000_000 * SECOND


def _span(make_span: Make, trace: int, number: int = 1, *, age: int, **changed: Any) -> dict[str, Any]:
    """A span that ended `age` nanoseconds before now."""
    return make_span(trace, number, start_ns=NOW - age - 1_000_000, **changed)


def _log(trace: int | None, time_ns: int | None, **changed: Any) -> dict[str, Any]:
    return {
        "trace_id": None if trace is None else f"{trace:032x}", "time_ns": time_ns, "service": "shop", "severity": 9,
        "flags": 0, "dropped_attributes": 0,
    } | changed  # fmt: skip


def _rows(
    spans: Iterable[dict[str, Any]] = (),
    flags: Iterable[dict[str, Any]] = (),
    logs: Iterable[dict[str, Any]] = (),
    correlations: Iterable[dict[str, Any]] = (),
) -> Decoded:
    return Decoded(
        spans=pa.Table.from_pylist(list(spans), schema=SPANS),
        flag_records=pa.Table.from_pylist(list(flags), schema=FLAG_RECORDS),
        logs=pa.Table.from_pylist(list(logs), schema=LOGS),
        correlations=pa.Table.from_pylist(list(correlations), schema=CORRELATIONS),
    )


def _traces(store: Store, table: str = "spans") -> list[int]:
    with store.cursor() as cursor:
        found = cursor.execute(f"SELECT DISTINCT trace_id FROM {table} WHERE trace_id IS NOT NULL").fetchall()  # noqa: S608
    return sorted(int(trace, 16) for (trace,) in found)


def _tend(store: Store, rules: Rules, now: int = NOW) -> tuple[Removed, Space]:
    removed = Removed()

    def tell(_reason: str, more: Removed) -> None:
        nonlocal removed
        removed += more

    space = tend(store, rules, now, patience=1, tell=tell)
    return removed, space


def _fill(store: Store, make_span: Make, traces: range, *, seconds: int = 1, seed: int = 1) -> None:
    """Requests of ten spans with text that does not compress, one every `seconds` seconds from NOW on."""
    draw = random.Random(seed)
    for first in range(traces.start, traces.stop, 500):
        part = range(first, min(first + 500, traces.stop))
        store.append([_rows(
            make_span(n, k, start_ns=NOW + n * seconds * SECOND, attributes=draw.randbytes(120).hex())
            for n in part for k in range(1, 11)
        )])  # fmt: skip


def test_rules_read_as_a_sentence() -> None:
    """What is kept is said in words, with the numbers as they were given."""
    assert str(Rules.of("7d", "50GB")) == "Keeps 7 days, at most 50 GB."
    assert str(Rules.of("36h", None)) == "Keeps 36 hours."
    assert str(Rules.of(None, "512MiB")) == "Keeps at most 512 MiB."
    assert str(Rules.of(None, None)) == "Keeps everything."


@pytest.mark.parametrize(
    ("keep", "max_size", "words"),
    [("0s", None, "keep nothing"), ("-7d", None, "keep nothing"), ("7", None, "not a duration"),
     (None, "1MB", "does not fit"), (None, "50", "not a size")],
)  # fmt: skip
def test_rules_that_keep_nothing_are_refused(keep: str | None, max_size: str | None, words: str) -> None:
    """A duration or size that cannot be meant is refused in one sentence."""
    with pytest.raises(UsageError, match=words):
        Rules.of(keep, max_size)


def test_a_request_goes_whole_with_its_latest_span(store: Store, make_span: Make) -> None:
    """Old requests go with all that belongs to them; one that still goes on stays, with its old spans."""
    old, going_on, young = 1, 2, 3
    flag = {"flag_key": "f", "variant": "on"}
    known = {"span_id": f"{1:016x}", "key": "user.id", "value": "u"}
    store.append([_rows(
        [
            _span(make_span, old, 1, age=10 * DAY), _span(make_span, old, 2, age=8 * DAY),
            _span(make_span, going_on, 1, age=10 * DAY), _span(make_span, going_on, 2, age=6 * DAY),
            _span(make_span, young, 1, age=SECOND),
        ],
        [flag | {"trace_id": f"{n:032x}", "time_ns": NOW - 9 * DAY} for n in (old, going_on, young)],
        [_log(n, NOW - 9 * DAY) for n in (old, going_on, young)],
        [known | {"trace_id": f"{n:032x}"} for n in (old, going_on, young)],
    )])  # fmt: skip
    removed, _ = _tend(store, Rules.of("7d", None))
    assert removed == Removed(requests=1, spans=2, logs=1, other=2)
    for table in ("spans", "flag_records", "logs", "correlations"):
        assert _traces(store, table) == [going_on, young], table
    assert _tend(store, Rules.of("7d", None))[0] == Removed()


def test_age_is_that_of_the_end_to_the_nanosecond(store: Store, make_span: Make) -> None:
    """A span that ended exactly as long ago as the rule says stays; a nanosecond earlier it goes."""
    store.append([_rows([_span(make_span, 1, age=DAY), _span(make_span, 2, age=DAY + 1)])])
    _tend(store, Rules.of("1d", None))
    assert _traces(store) == [1]


def test_what_belongs_to_no_span_goes_by_its_own_time(store: Store, make_span: Make) -> None:
    """Logs and evaluations without spans are judged alone; what has no time at all is left."""
    flag = {"flag_key": "f", "variant": "on"}
    store.append([_rows(
        [_span(make_span, 9, age=SECOND)],
        [flag | {"trace_id": f"{n:032x}", "time_ns": time} for n, time in ((4, NOW - 2 * DAY), (5, NOW), (6, None))],
        [
            _log(None, NOW - 2 * DAY, body="old"), _log(None, NOW, body="new"), _log(None, None, body="undated"),
            _log(None, 0, observed_ns=NOW - 2 * DAY, body="observed long ago"), _log(7, NOW - 2 * DAY, body="stray"),
        ],
    )])  # fmt: skip
    removed, _ = _tend(store, Rules.of("1d", None))
    assert removed == Removed(logs=3, other=1)
    assert _traces(store, "flag_records") == [5, 6]
    with store.cursor() as cursor:
        assert sorted(cursor.execute("SELECT body FROM logs").fetchall()) == [("new",), ("undated",)]


def test_by_age_nothing_goes_for_being_from_the_future(store: Store, make_span: Make) -> None:
    """Whatever times spans claim, the age rule adds them up without overflow and keeps those from the future."""
    edge = 2**63 - 1
    store.append([_rows(
        make_span(n, 1, start_ns=start, dur_ns=dur)
        for n, (start, dur) in enumerate([(edge, edge), (edge, 0), (0, edge), (0, 0), (NOW + DAY, 1)])
    )])  # fmt: skip
    _tend(store, Rules.of("1h", None))
    assert _traces(store) == [0, 1, 2, 4]


def test_room_comes_back_when_old_requests_go(store: Store, make_span: Make) -> None:
    """The file is shorter on disk afterwards, and what stays is what should stay."""
    _fill(store, make_span, range(20_000))
    before = settled(store, 1)
    removed, after = _tend(store, Rules.of("5000s", None), NOW + 20_000 * SECOND)
    assert removed.requests == 15_000
    assert _traces(store) == list(range(15_000, 20_000))
    assert after.on_disk == on_disk(store.path) < 0.5 * before.on_disk
    assert after.file <= after.used + SPARE_BYTES


def test_the_oldest_go_until_the_file_is_small_enough(store: Store, make_span: Make) -> None:
    """A store beyond its size keeps the newest requests, whole, and not many fewer than fit."""
    limit = 16_000_000
    _fill(store, make_span, range(20_000))
    rules = Rules(None, limit)
    assert settled(store, 1).file > 1.3 * limit
    removed, after = _tend(store, rules, NOW + 20_000 * SECOND)
    assert after.on_disk <= limit
    assert after.used <= begin(limit, after)
    kept = _traces(store)
    assert kept == list(range(removed.requests, 20_000))
    assert after.used > 0.8 * end(limit, after)
    assert _tend(store, rules, NOW + 20_000 * SECOND)[0] == Removed()


def test_the_bound_holds_while_spans_keep_coming(store: Store, make_span: Make) -> None:
    """Pass after pass the file stays below its size, plus what came since the last pass."""
    limit = 10_000_000
    for round_ in range(12):
        _fill(store, make_span, range(round_ * 1_500, (round_ + 1) * 1_500), seed=round_)
        assert _tend(store, Rules(None, limit), NOW + round_ * 1_500 * SECOND)[1].on_disk <= limit
    assert 17_999 in _traces(store)


def test_what_claims_to_be_from_the_future_goes_first(store: Store, make_span: Make) -> None:
    """By size, a client whose clock is wrong loses its own requests and not those of others."""
    _fill(store, make_span, range(10_000))
    _fill(store, make_span, range(10_000, 20_000), seconds=1_000)
    removed, _ = _tend(store, Rules(None, 40_000_000), NOW + 10_000 * SECOND)
    assert 0 < removed.requests <= 10_000
    assert set(range(10_000)) <= set(_traces(store))


def test_where_everything_is_from_the_future_the_oldest_goes_first(store: Store, make_span: Make) -> None:
    """A server whose own clock is wrong still keeps the newest."""
    _fill(store, make_span, range(20_000))
    removed, _ = _tend(store, Rules(None, 16_000_000), NOW - 400 * DAY)
    assert _traces(store) == list(range(removed.requests, 20_000))


def test_one_endless_request_does_not_defeat_the_bound(store: Store, make_span: Make) -> None:
    """A request that goes on for ever is let go when nothing else is left to go."""
    draw = random.Random(2)
    for part in range(20):
        store.append([_rows(
            make_span(1, k, start_ns=NOW + k * SECOND, attributes=draw.randbytes(120).hex())
            for k in range(part * 6_000, (part + 1) * 6_000)
        )])  # fmt: skip
    assert _tend(store, Rules(None, 10_000_000))[1].on_disk <= 10_000_000
    assert _traces(store) == []


def test_a_reader_sees_its_moment_while_requests_go(store: Store, make_span: Make) -> None:
    """A reader that is inside reads on, room comes back after it, and nothing goes twice."""
    _fill(store, make_span, range(8_000))
    settled(store, 1)
    rules, later = Rules.of("2000s", None), NOW + 8_000 * SECOND
    with store.cursor() as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM spans").fetchall() == [(80_000,)]
        told: list[Removed] = []
        with pytest.raises(CrowdedError):
            tend(store, rules, later, patience=0.05, tell=lambda _, removed: told.append(removed))
        assert told == [Removed(requests=6_000, spans=60_000)]
        assert reader.execute("SELECT count(*) FROM spans").fetchall() == [(80_000,)]
        large = on_disk(store.path)
    removed, space = _tend(store, rules, later)
    assert removed == Removed()
    assert space.on_disk < large - SPARE_BYTES


def test_nothing_that_arrives_meanwhile_is_lost(store: Store, make_span: Make) -> None:
    """Requests appended while others are removed and moved are there afterwards, once each."""
    _fill(store, make_span, range(8_000))
    stop = threading.Event()
    sent: list[int] = []

    def send() -> None:
        first = 100_000
        while not stop.is_set():
            _fill(store, make_span, range(first, first + 100))
            sent.extend(range(first, first + 100))
            first += 100

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for seconds in (6_000, 4_000, 2_000):
            _tend(store, Rules.of(f"{seconds}s", None), NOW + 8_000 * SECOND)
    finally:
        stop.set()
        sender.join()
    assert len(sent) > 0
    assert _traces(store) == [*range(6_000, 8_000), *sent]
    with store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM spans").fetchall() == [(20_000 + 10 * len(sent),)]


def test_many_spans_go_in_several_transactions(store: Store, make_span: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is cut into slices by time, each whole requests, all of it in the end."""
    monkeypatch.setattr("traceguard.store.retention._SLICE", 10_000)
    _fill(store, make_span, range(5_000))
    told: list[Removed] = []
    tend(
        store, Rules.of("1000s", None), NOW + 5_000 * SECOND, patience=1,
        tell=lambda _, removed: told.append(removed),
    )  # fmt: skip
    assert len(told) == 4
    assert sum(told, Removed()) == Removed(requests=4_000, spans=40_000)
    assert max(removed.spans for removed in told) < 15_000


def test_a_pass_ends_when_it_is_told_to_rest_for_good(store: Store, make_span: Make) -> None:
    """A server that stops does not wait for the rest of a pass."""
    _fill(store, make_span, range(3_000))
    told: list[Removed] = []
    tend(
        store, Rules.of("1s", "8MB"), NOW + 3_000 * SECOND, patience=1,
        tell=lambda _, removed: told.append(removed), stopped=lambda: True,
    )  # fmt: skip
    assert len(told) == 1


def test_a_store_to_read_is_not_tended(store: Store, path: Path, make_span: Make) -> None:
    """Removing needs a store that is open to write."""
    from traceguard.store import open_store

    _fill(store, make_span, range(10))
    store.close()
    with open_store(path) as readable, pytest.raises(StoreError, match="open for reading only"):
        tend(readable, Rules.of("1s", None), NOW, patience=1)


def test_where_nothing_goes_nobody_waits(store: Store, make_span: Make) -> None:
    """A pass that has nothing to do needs nobody to leave."""
    _fill(store, make_span, range(100))
    with store.cursor():
        tend(store, Rules.of("1d", "1GB"), NOW, patience=0.01)


def test_an_empty_store_in_memory_is_tended(make_span: Make) -> None:
    """Nothing to remove, and no file to shorten."""
    from traceguard.store import open_store

    with open_store(":memory:", mode="write") as store:
        store.append([_rows([_span(make_span, 1, age=2 * DAY)])])
        assert _tend(store, Rules.of("1d", "1GB"))[0] == Removed(requests=1, spans=1)
        with store.cursor() as cursor:
            assert measure(cursor, store.path).file == 0
