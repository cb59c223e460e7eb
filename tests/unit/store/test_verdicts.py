"""Verdicts in the store: one row while the same is said, bounded in number and age, and gone with whom they name."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from traceguard.errors import StoreError
from traceguard.settings import UNIT_KEYS
from traceguard.store import Store, open_store, queries, verdicts
from traceguard.store.forget import Person, finish, forget
from traceguard.store.format import log_of
from traceguard.store.removal import Removed
from traceguard.store.retention import Rules, tend
from traceguard.store.verdicts import Verdict

Make = Callable[..., Any]

ID = "person-4f1c"
MINUTE = 60 * 10**9
BAD = Verdict("schedule", "/causes", "regression", "It got slower.", "bank Pay", 5, 9, 0.05)
GOOD = replace(BAD, verdict="no_regression", sentence="Nothing got slower.", cause="")


def _say(store: Store, said: Verdict, minute: int = 0, **more: Any) -> str | None:
    return verdicts.say(store, said, minute * MINUTE, patience=5, **more)


def _rows(store: Store, **params: Any) -> list[dict[str, Any]]:
    with store.cursor() as cursor:
        return queries.run(cursor, "verdicts", params).to_pylist()


def _bytes(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (path, log_of(path)) if file.exists())


def test_what_says_the_same_is_one_row(store: Store) -> None:
    """A verdict that repeats its address's last one tells from when to when it was said; a change is a new row."""
    assert [_say(store, said, minute) for minute, said in enumerate((GOOD, GOOD, BAD, BAD, BAD, GOOD))] == [
        None, "no_regression", "no_regression", "regression", "regression", "regression",
    ]  # fmt: skip
    assert [(r["verdict"], r["times"], r["first_said"][14:16], r["last_said"][14:16]) for r in _rows(store)] == [
        ("no_regression", 1, "05", "05"), ("regression", 3, "02", "04"), ("no_regression", 2, "00", "01"),
    ]  # fmt: skip


def test_a_row_is_about_the_latest_requests_and_who_asked_first(store: Store) -> None:
    """Sentence and window move on with what was said last; another cause is another row."""
    _say(store, BAD)
    _say(store, replace(BAD, asked_by="page", sentence="It got slower still.", start_ns=7 * 10**9, end_ns=None), 1)
    (row,) = _rows(store)
    assert (row["asked_by"], row["sentence"], row["cause"]) == ("schedule", "It got slower still.", "bank Pay")
    assert (row["window_start"], row["window_end"]) == ("1970-01-01T00:00:07.000000Z", None)
    _say(store, replace(BAD, cause="bank Refund"), 2)
    assert [r["cause"] for r in _rows(store)] == ["bank Refund", "bank Pay"]


def test_other_questions_do_not_part_a_verdict(store: Store) -> None:
    """Two who ask in turn have a row each."""
    for minute in range(6):
        _say(store, BAD if minute % 2 else replace(GOOD, asked_by="api", address="/api/report?flag=f"), minute)
    assert [(r["address"], r["times"]) for r in _rows(store)] == [("/causes", 3), ("/api/report?flag=f", 3)]


def test_the_query_asks_for_what_was_said_in_a_time(store: Store) -> None:
    """A verdict counts while it stood, in a half-open period; a limit takes the newest."""
    for minute, said in enumerate((GOOD, GOOD, BAD, BAD, GOOD)):
        _say(store, said, minute)
    assert [r["times"] for r in _rows(store, since=2 * MINUTE)] == [1, 2]
    assert [r["times"] for r in _rows(store, since=3 * MINUTE + 1)] == [1]
    assert [r["verdict"] for r in _rows(store, until=2 * MINUTE)] == ["no_regression"]
    assert [r["times"] for r in _rows(store, since=MINUTE, until=4 * MINUTE, limit=1)] == [2]


def test_the_oldest_go_beyond_a_number(store: Store) -> None:
    """So many are kept as are asked for, those said last; one that still stands outlives later ones that do not."""
    _say(store, BAD)
    for minute in range(1, 8):
        _say(store, BAD, minute, most=3)
        _say(store, replace(GOOD, address=f"/api/report?n={minute}"), minute, most=3)
    assert [r["address"] for r in _rows(store)] == ["/api/report?n=7", "/causes", "/api/report?n=6"]
    assert Rules().most_verdicts == verdicts.MOST
    assert Rules.of(None, "8MB").most_verdicts == 400


def test_verdicts_go_with_their_age(store: Store) -> None:
    """Retention removes what was last said longer ago than is kept."""
    for minute, said in enumerate((GOOD, BAD, BAD)):
        _say(store, said, minute)
    tend(store, Rules(keep_ns=MINUTE), 2 * MINUTE, patience=5)
    assert [r["verdict"] for r in _rows(store)] == ["regression"]
    tend(store, Rules(keep_ns=MINUTE), 4 * MINUTE, patience=5)
    assert _rows(store) == []


def test_texts_without_an_end_are_left_out_whole(store: Store) -> None:
    """Half a text could hold half an id, which nobody would find."""
    _say(store, replace(BAD, address="/api/report?where=" + "x" * 5_000, sentence="y" * 5_000, cause="z" * 5_000))
    (row,) = _rows(store)
    assert (row["address"], row["sentence"], row["cause"]) == ("/api/report", "", None)


@pytest.mark.parametrize("id_", [ID, "alice@example.com", "O'Brien; --", "ünï ✓", "a.b*c", "7"])
@pytest.mark.parametrize("place", ["address", "encoded", "sentence", "cause"])
def test_no_byte_of_an_id_is_left_in_a_verdict(
    path: Path, make_span: Make, make_batch: Make, id_: str, place: str
) -> None:
    """A verdict that names whom to forget goes with the requests, wherever it does; others stay."""
    named = {
        "address": replace(BAD, address=f"/api/report?where=user.id={id_}"),
        "encoded": replace(BAD, address=f"/api/report?{urlencode({'where': f'user.id={id_}'})}"),
        "sentence": replace(BAD, sentence=f"GET / got slower under user.id={id_}; shop explains it.", address="/a"),
        "cause": replace(BAD, cause=f"shop GET /users/{id_}/orders", address="/b"),
    }[place]
    others = [replace(GOOD, address=f"/other{n}", sentence=f"Not {id_}{n}x or x{id_}.") for n in (1, 2)]
    with open_store(path, mode="write") as store:
        known = {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "key": "user.id", "value": id_}
        store.append([make_batch([make_span(1, 1), make_span(2, 1)], [], [known])])
        for minute in range(3):
            _say(store, named, minute)
        with store.alone(1) as cursor:
            cursor.execute("CHECKPOINT")
        _say(store, replace(named, verdict="inconclusive"), 4)
        for said in others:
            _say(store, said, 5)
        removed = forget(store, Person((id_,), UNIT_KEYS), patience=5)
        assert removed == Removed(requests=1, spans=1, other=1, verdicts=2)
        assert [r["address"] for r in _rows(store)] == ["/other2", "/other1"]
        _say(store, GOOD, 6)
    if id_ == ID and place != "encoded":
        with open_store(path, mode="write") as store:
            forget(store, Person((f"x{ID}", f"{ID}1x", f"{ID}2x"), UNIT_KEYS), patience=5)
            assert [r["address"] for r in _rows(store)] == ["/causes"]
        assert ID.encode()[:8] not in _bytes(path)


def test_a_verdict_alone_is_reason_to_write_the_file_anew(path: Path) -> None:
    """Where no request carries the id any more, its bytes leave the file all the same; a rehearsal leaves them."""
    person = Person((ID,), UNIT_KEYS)
    with open_store(path, mode="write") as store:
        _say(store, replace(BAD, address=f"/api/report?where=user.id={ID}"))
        _say(store, GOOD)
        forget(store, person, patience=5, rehearse=True)
        assert len(_rows(store)) == 2
        assert forget(store, person, patience=5) == Removed(verdicts=1)
        assert ID.encode() not in _bytes(path)
        assert not finish(store, patience=5)
        assert [r["verdict"] for r in _rows(store)] == ["no_regression"]


def test_what_is_said_amid_a_forgetting_is_looked_at_too(path: Path, make_span: Make, make_batch: Make) -> None:
    """A verdict that comes when the requests are gone already is still found."""
    known = {"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "key": "user.id", "value": ID}
    with open_store(path, mode="write") as store:
        store.append([make_batch([make_span(1, 1)], [], [known])])
        late = replace(BAD, address=f"/api/report?where=user.id={ID}")
        forget(store, Person((ID,), UNIT_KEYS), patience=5, gone=lambda: _say(store, late) and None)
        assert _rows(store) == []
        assert ID.encode() not in _bytes(path)


def test_verdicts_survive_a_rewriting_while_they_are_said(path: Path, make_span: Make, make_batch: Make) -> None:
    """What is said while the file is written anew is in the new file, once."""
    known = [{"trace_id": f"{n:032x}", "span_id": f"{1:016x}", "key": "user.id", "value": f"u{n}"} for n in range(5)]
    with open_store(path, mode="write") as store:
        store.append([make_batch([make_span(n, 1) for n in range(5)], [], known)])
        said, done = [0], threading.Event()

        def speak() -> None:
            while not done.is_set():
                _say(store, replace(BAD, address=f"/api/report?n={said[0]}"), said[0])
                said[0] += 1

        speaker = threading.Thread(target=speak)
        speaker.start()
        for n in range(5):
            assert forget(store, Person((f"u{n}",), UNIT_KEYS), patience=20).requests == 1
        done.set()
        speaker.join()
        assert sorted(r["address"] for r in _rows(store)) == sorted(f"/api/report?n={n}" for n in range(said[0]))


def test_a_reader_says_nothing_and_a_busy_store_says_so(path: Path) -> None:
    """A store that is open to read refuses; so does one that others write to for too long, and nothing is kept."""
    with open_store(path, mode="write") as store:
        with store.alone(1), pytest.raises(StoreError, match=r"being written for 0\.01 seconds"):
            verdicts.say(store, BAD, 0, patience=0.01)
        assert _rows(store) == []
        _say(store, BAD)
    with open_store(path) as store, pytest.raises(StoreError, match="for reading only"):
        _say(store, BAD)
