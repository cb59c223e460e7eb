"""A held window answers like the store that it was read from, and no longer once something was removed there."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from builders.scenes import START_NS

import traceguard as tg
from traceguard.engine import held as holding
from traceguard.engine.held import HeldWindow, OutdatedError, TooLargeError
from traceguard.errors import UsageError
from traceguard.pipeline import person
from traceguard.settings import Settings
from traceguard.simulate import generate, shop
from traceguard.store import Store, open_store
from traceguard.store.forget import forget

MINUTE = 60 * 10**9

QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "report": lambda of: tg.report(of).document,
    "report of an entry point": lambda of: tg.report(of, entry="POST /checkout", flag="new-pricing").document,
    "blast-radius": lambda of: tg.blast_radius(of, service="pricing").document,
    "blast-radius of a flag": lambda of: tg.blast_radius(of, flag="new-pricing").document,
    "blast-radius of a database": lambda of: tg.blast_radius(of, service="redis:cache").document,
    "what-if": lambda of: tg.what_if(of, service="pricing", delay="50ms", slo="p99<800ms").document,
    "what-if of a flag": lambda of: tg.what_if(of, flag="new-pricing", exposure="80%").document,
    "plan": lambda of: tg.plan(of, service="pricing", steps="50%").document,
    "graph": lambda of: sorted(tg.graph(of).edges),
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A store with some minutes of the shop."""
    with open_store(":memory:", mode="write") as opened:
        opened.append([shop_from(START_NS, seed=3).decoded()])
        yield opened


def shop_from(start_ns: int, seed: int) -> Any:
    """Record ten minutes of the shop."""
    return generate(shop(), requests=1200, seed=seed, start_ns=start_ns, duration_ns=10 * MINUTE)


@pytest.fixture(scope="module")
def window(store: Store) -> HeldWindow:
    """All of the store, held."""
    return tg.hold(store)


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_answers_like_the_store(store: Store, window: HeldWindow, question: str) -> None:
    """The same document, also when it is asked for a second time."""
    ask = QUESTIONS[question]
    assert ask(window) == ask(store) == ask(window)


def test_it_holds_a_part_of_the_store(store: Store) -> None:
    """Time and environment are chosen when it is held, and at no later moment."""
    since = START_NS + 5 * MINUTE
    later = tg.hold(store, since=since)
    found = tg.what_if(later, service="pricing", delay="1ms").document
    assert found == tg.what_if(store, service="pricing", delay="1ms", since=since).document
    with pytest.raises(UsageError, match="has its time"):
        tg.report(later, until=since + MINUTE)
    with pytest.raises(UsageError, match="compare two periods"):
        tg.report(later, baseline="-10m/-5m", candidate="-5m/-1m")
    with pytest.raises(UsageError, match="ask the store itself"):
        tg.query(later, "services")


def test_it_stays_as_it_was_read_until_something_is_removed(tmp_path: Path) -> None:
    """What arrives is not in it; what was forgotten does not live on in it."""
    with open_store(tmp_path / "shop.duckdb", mode="write") as store:
        store.append([shop_from(START_NS, seed=3).decoded()])
        window = tg.hold(store)
        before = tg.blast_radius(window, service="pricing").document
        store.append([shop_from(START_NS + 10 * MINUTE, seed=4).decoded()])
        assert tg.blast_radius(window, service="pricing").document == before
        assert tg.blast_radius(store, service="pricing").document.window.traces > before.window.traces
        with store.cursor() as cursor:
            (user,) = cursor.execute("SELECT any_value(value) FROM correlations WHERE key = 'user.id'").fetchone()
        assert forget(store, person(user, "user.id", Settings()), patience=1.0).any
        with pytest.raises(OutdatedError, match="removed"):
            tg.blast_radius(window, service="pricing")


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_comes_late_changes_nothing(question: str) -> None:
    """Neither late spans of its traces, nor flags and users of them, nor new traces, also for a first question."""
    whole = shop_from(START_NS, seed=3).decoded()
    early, late = (
        replace(
            whole, **{name: _part(getattr(whole, name), part) for name in ("spans", "flag_records", "correlations")}
        )
        for part in (0, 1)
    )
    with open_store(":memory:", mode="write") as store:
        store.append([early])
        window, before = tg.hold(store), QUESTIONS[question](store)
        store.append([late])
        store.append([shop_from(START_NS + 10 * MINUTE, seed=4).decoded()])
        assert QUESTIONS[question](window) == before
        assert QUESTIONS[question](store) != before


def _part(table: pa.Table, part: int) -> pa.Table:
    """Most of the rows, or the rest of them."""
    late = np.random.default_rng(5).random(table.num_rows) < 0.1
    return table.filter(pa.array(late if part else ~late))


def test_a_window_that_is_too_large_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound, and the sentence says what to do instead."""
    monkeypatch.setattr(holding, "MOST_SPANS", 1000)
    with pytest.raises(TooLargeError, match="hold a shorter one"):
        tg.hold(store)


def test_only_an_open_store_is_held(tmp_path: Path) -> None:
    """A path would be closed at once, and a server holds its own."""
    with pytest.raises(UsageError, match=r"tg\.open"):
        tg.hold(tmp_path / "a.duckdb")
    with pytest.raises(UsageError, match="where the store is"):
        tg.hold("http://127.0.0.1:1")
