"""Traces that a person asks for: one as it ran, and two groups by call path."""

from pathlib import Path

import pytest

from traceguard import pipeline
from traceguard.explain.looked_at import compare_groups, requests_of
from traceguard.model import Entry
from traceguard.simulate import generate, shop
from traceguard.store import open_store

ENTRY = Entry(service="frontend", operation="POST /checkout")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a shop whose pricing is slow under a flag."""
    path = tmp_path_factory.mktemp("looked") / "shop.duckdb"
    recording = generate(shop(), requests=600, seed=4, start_ns=1_800_000_000 * 10**9, duration_ns=600 * 10**9)
    with open_store(path, mode="write") as store:
        store.append([recording.decoded()])
    return path


def checkouts(path: Path, variant: str) -> list[str]:
    """Traces that entered at the checkout under a variant of the flag."""
    flags = pipeline.query(path, "flag_evaluations", flag="new-pricing", variant=variant)
    roots = pipeline.query(path, "slowest_traces", service=ENTRY.service, operation=ENTRY.operation)
    return sorted(set(flags["trace_id"]) & set(roots["trace_id"]))


def test_the_critical_path_of_a_request_fills_its_duration(recorded: Path) -> None:
    """Times at which the request waited for one span after the other add up to the whole."""
    with pipeline.open(recorded) as store, store.cursor() as cursor:
        for trace_id in checkouts(recorded, "on")[:20]:
            request = requests_of(cursor, trace_id)[0]
            waited = sum(end - begin for span in request.spans for begin, end in span.on_path)
            assert request.left_out == 0
            assert waited == pytest.approx(request.duration_ms, abs=1e-6)


def test_a_trace_that_is_not_there_has_no_request(recorded: Path) -> None:
    """Nothing is drawn of nothing."""
    with pipeline.open(recorded) as store, store.cursor() as cursor:
        assert requests_of(cursor, "ff" * 16) == []


def test_two_groups_differ_where_the_cause_was_planted(recorded: Path) -> None:
    """The call path whose own time grows most is the planted one, and both sides count their requests."""
    off, on = checkouts(recorded, "off"), checkouts(recorded, "on")
    with pipeline.open(recorded) as store, store.cursor() as cursor:
        paths = compare_groups(cursor, ENTRY, off, on)
    assert (paths.reference, paths.observed) == (len(off), len(on))
    worst = max(paths.paths, key=lambda node: node.observed_ms - node.reference_ms)
    assert worst.service == "pricing"
