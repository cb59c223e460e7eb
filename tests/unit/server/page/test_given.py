"""Verdicts on their way into the store: kept across restarts, told when they change, never at an answer's cost."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from traceguard import pipeline
from traceguard.model import Report
from traceguard.server.page.given import API, PAGE, SCHEDULE, USUAL, History
from traceguard.server.questions.analyses import Question
from traceguard.server.watch.counters import Counters
from traceguard.simulate import generate, shop
from traceguard.store import Store, open_store, queries
from traceguard.store.interruptible import Interruptible

START_NS = 1_800_000_000_000_000_000


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """A report of the shop with its planted regression, and one of an entry point's few requests."""
    with open_store(":memory:", mode="write") as store:
        made = generate(shop(), requests=1500, seed=3, start_ns=START_NS, duration_ns=600_000_000_000)
        store.append([made.decoded()])
        bad = pipeline.report(store).document
        few = pipeline.report(store, until=START_NS + 2_000_000_000).document
    assert bad.verdict == "regression" != few.verdict
    return {"bad": bad, "few": few}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(tmp_path / "live.duckdb", mode="write") as opened:
        yield opened


def _asked(store: Store) -> Question:
    return Question("report", lambda _: None, Interruptible(store))


def _rows(store: Store) -> list[dict[str, Any]]:
    with store.cursor() as cursor:
        return queries.run(cursor, "verdicts").to_pylist()


def _shown(counters: Counters) -> dict[str, str]:
    lines = [line for line in counters.text().splitlines() if line.startswith("traceguard_verdict{")]
    return {line.split('"')[1]: line.split()[-1] for line in lines}


def test_a_verdict_is_kept_with_what_it_judged(store: Store, reports: dict[str, Report]) -> None:
    """Sentence, cause, window and who asked stand in the store."""
    History(store, Counters()).note(_asked(store), reports["bad"], API, "/api/report?alpha=0.05")
    (row,) = _rows(store)
    assert (row["asked_by"], row["address"], row["verdict"], row["cause"]) == (
        "api", "/api/report?alpha=0.05", "regression", "pricing ComputeQuote",
    )  # fmt: skip
    assert "under new-pricing=on; pricing ComputeQuote" in row["sentence"]
    assert row["window_start"][:19] == str(reports["bad"].window.start)[:19]
    assert row["window_end"][:19] == str(reports["bad"].window.end)[:19]


def test_the_usual_verdict_is_told_when_it_changes(
    store: Store, reports: dict[str, Report], caplog: pytest.LogCaptureFixture
) -> None:
    """A line says from what to what and which service and flag, whoever asked; repeats and other questions say none."""
    caplog.set_level(logging.INFO, "traceguard")
    history, few = History(store, Counters()), reports["few"].verdict
    for name, asked_by, address in (
        ("few", SCHEDULE, USUAL), ("few", SCHEDULE, USUAL), ("bad", PAGE, USUAL), ("bad", SCHEDULE, USUAL),
        ("few", API, "/api/report"),
    ):  # fmt: skip
        history.note(_asked(store), reports[name], asked_by, address)
    first, second = [r for r in caplog.records if getattr(r, "event", "") == "judged"]
    assert (first.fields["before"], first.fields["verdict"]) == (None, few)  # type: ignore[attr-defined]
    assert second.fields == {  # type: ignore[attr-defined]
        "verdict": "regression", "before": few, "service": "pricing", "under": "new-pricing=on",
        "causes": len(reports["bad"].causes),
    }  # fmt: skip
    assert second.getMessage().endswith(" to Regression, because of pricing under new-pricing=on.")
    assert "ComputeQuote" not in second.getMessage(), "an operation may hold an id"


def test_a_restart_goes_on_where_it_was(
    store: Store, reports: dict[str, Report], caplog: pytest.LogCaptureFixture
) -> None:
    """The gauge shows the last verdict from the start, and one that says the same is no news."""
    counters = Counters()
    history = History(store, counters)
    assert set(_shown(counters).values()) == {"0"}
    history.note(_asked(store), reports["bad"], SCHEDULE, USUAL)
    again = Counters()
    restarted = History(store, again)
    assert _shown(again) == _shown(counters)
    assert {verdict for verdict, shown in _shown(again).items() if shown == "1"} == {"regression"}
    caplog.set_level(logging.INFO, "traceguard")
    restarted.note(_asked(store), reports["bad"], PAGE, USUAL)
    assert [r["times"] for r in _rows(store)] == [2]
    assert caplog.records == []


def test_a_report_that_began_before_a_forgetting_leaves_nothing(store: Store, reports: dict[str, Report]) -> None:
    """It may name whom was forgotten; the next one is kept."""
    history, early = History(store, Counters()), _asked(store)
    history.let_go()
    history.note(early, reports["bad"], API, "/api/report?where=user.id%3Du1")
    assert _rows(store) == []
    history.note(_asked(store), reports["bad"], API, "/api/report")
    assert len(_rows(store)) == 1


def test_a_store_that_cannot_be_written_costs_no_answer(
    tmp_path: Path, store: Store, reports: dict[str, Report], caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that the verdict is not kept, and whoever asked hears nothing of it."""
    store.close()
    with open_store(tmp_path / "live.duckdb") as reading:
        History(reading, Counters()).note(_asked(reading), reports["bad"], PAGE, USUAL)
        assert _rows(reading) == []
    (record,) = caplog.records
    assert (record.levelname, record.event) == ("WARNING", "verdict_not_kept")  # type: ignore[attr-defined]
