"""What was estimated before serves only questions that would estimate the same."""

from collections.abc import Iterator
from typing import Any

import pytest
from builders.scenes import START_NS

import traceguard as tg
from traceguard.explain.entries import EntryEffects
from traceguard.explain.estimates import Estimates
from traceguard.simulate import generate, shop
from traceguard.store import Store, open_store
from traceguard.units import Period

MINUTE = 60 * 10**9
RECORDING = generate(shop(), requests=1500, seed=5, start_ns=START_NS, duration_ns=10 * MINUTE)
HALVES = {
    "baseline": Period(START_NS, START_NS + 5 * MINUTE),
    "candidate": Period(START_NS + 5 * MINUTE, START_NS + 10 * MINUTE),
}

QUESTIONS: dict[str, dict[str, Any]] = {
    "everything": {},
    "a flag": {"flag": "new-pricing"},
    "a service": {"service": "pricing"},
    "an entry point": {"entry": "POST /checkout"},
    "another alpha": {"alpha": "0.001"},
    "another reference": {"reference": "new-pricing=on"},
    "one of many looks": {"live": True},
    "two periods": HALVES,
}


@pytest.fixture
def fresh() -> Iterator[Store]:
    """A store with ten minutes of the shop that was never asked anything."""
    with open_store(":memory:", mode="write") as opened:
        opened.append([RECORDING.decoded()])
        yield opened


@pytest.fixture(scope="module")
def asked_much() -> Iterator[Store]:
    """The same store, asked all of them before, in their order and in the other."""
    with open_store(":memory:", mode="write") as opened:
        opened.append([RECORDING.decoded()])
        for question in (*QUESTIONS.values(), *reversed(QUESTIONS.values())):
            tg.report(opened, **question)
        yield opened


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_report_is_the_same_whatever_was_asked_before(fresh: Store, asked_much: Store, question: str) -> None:
    """Each equals what a store answers that was asked nothing else."""
    expected = tg.report(fresh, **QUESTIONS[question]).document
    assert expected.judged
    assert tg.report(asked_much, **QUESTIONS[question]).document == expected


def test_reports_differ(fresh: Store) -> None:
    """The questions have different answers, so that one in place of another would be seen."""
    found = [tg.report(fresh, **question).document.model_dump_json() for question in QUESTIONS.values()]
    assert len(set(found)) == len(found)


def test_the_last_basis_is_kept() -> None:
    """An effect is estimated once for a basis, and again when another was asked about meanwhile."""
    estimates, asked = Estimates(), list[str]()

    def estimate(name: str) -> EntryEffects:
        asked.append(name)
        return object.__new__(EntryEffects)

    first = estimates.of("5%", (0, 0), lambda: estimate("first"))
    assert estimates.of("5%", (0, 0), lambda: estimate("again")) is first
    assert estimates.of("5%", (1, 0), lambda: estimate("second")) is not first
    assert estimates.of("1%", (0, 0), lambda: estimate("stricter")) is not first
    assert estimates.of("5%", (0, 0), lambda: estimate("after that")) is not first
    assert asked == ["first", "second", "stricter", "after that"]
