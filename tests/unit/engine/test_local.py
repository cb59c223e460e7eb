"""The reduction on this machine: windows, partitions, and what each trace ran under."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from builders.facts import concatenate
from builders.scenes import START_NS, recorded

from traceguard.engine.circumstances import MAX_COMMON_LEVELS, MAX_LEVELS, Read, read_circumstances
from traceguard.engine.local import linked_partitions, open_window
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, SPANS, Decoded
from traceguard.settings import UNIT_KEYS
from traceguard.simulate import shop
from traceguard.store import Store, open_store
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, MIXED
from traceguard.traces.facts import facts_of
from traceguard.units import Period

SECOND = 1_000_000_000


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def roots(count: int, **columns: object) -> list[dict[str, object]]:
    """Root spans of traces 1 to `count`, a second apart."""
    row = {
        "service": "shop", "operation": "GET /", "kind": "server", "dur_ns": 1_000, "status": "unset", "flags": 0,
        "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0, "evaluation_only": False,
        "end_before_start_ns": 0, **columns,
    }  # fmt: skip
    return [
        {**row, "trace_id": f"{i:032x}", "span_id": f"{i:016x}", "start_ns": START_NS + i * SECOND}
        for i in range(1, count + 1)
    ]


def evaluation(trace: int, key: str, variant: str, context: str = "") -> dict[str, object]:
    """One evaluation in trace number `trace`."""
    return {
        "trace_id": f"{trace:032x}",
        "span_id": f"{trace:016x}",
        "flag_key": key,
        "variant": variant,
        "context_id": context,
    }


def fill(
    store: Store,
    spans: list[dict[str, object]],
    *flags: dict[str, object],
    correlations: tuple[tuple[int, str, str], ...] = (),
) -> None:
    """Append rows to the store."""
    named = [{"trace_id": f"{t:032x}", "span_id": f"{t:016x}", "key": k, "value": v} for t, k, v in correlations]
    store.append([
        Decoded(
            spans=pa.Table.from_pylist(spans, schema=SPANS),
            flag_records=pa.Table.from_pylist(list(flags), schema=FLAG_RECORDS),
            correlations=pa.Table.from_pylist(named, schema=CORRELATIONS),
        )
    ])  # fmt: skip


def circumstances(store: Store, unit: str | None = None) -> tuple[Read, list[str]]:
    """What the whole store's traces ran under, and their ids in the same order."""
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), None)
        return read_circumstances(cursor, window, unit, UNIT_KEYS), [str(t) for t in window.trace_ids]


def test_partitions_change_nothing(store: Store) -> None:
    """Facts are the same in one partition and in twenty."""
    store.append([recorded(shop(), requests=500).decoded()])
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), None)
        whole, many = (
            concatenate([facts_of(linked) for linked in linked_partitions(cursor, window, size)])
            for size in (10_000_000, 400)
        )
    order = [np.lexsort((facts.start, facts.trace_hash)) for facts in (whole, many)]
    np.testing.assert_array_equal(whole.dur[order[0]], many.dur[order[1]])
    assert whole.time.sum() == many.time.sum() == whole.dur.sum()


def test_a_window_holds_the_traces_whose_root_started_in_it(store: Store) -> None:
    """Periods are half-open, and a trace comes whole or not at all."""
    fill(store, roots(4))
    with store.cursor() as cursor:
        window = open_window(cursor, Period(START_NS + 2 * SECOND, START_NS + 4 * SECOND), None)
    assert sorted(window.trace_ids) == [f"{i:032x}" for i in (2, 3)]


def test_a_flag_that_was_never_evaluated_is_its_own_level(store: Store) -> None:
    """Absent is not off, and several levels in one request are mixed."""
    fill(store, roots(3), evaluation(1, "f", "on"), evaluation(2, "f", "on"), evaluation(2, "f", "off"))
    read, ids = circumstances(store)
    (factor,) = read.factors
    codes = dict(zip(ids, read.circumstances.levels[:, 0].tolist(), strict=True))
    named = [factor.levels[codes[f"{1:032x}"]], codes[f"{2:032x}"], codes[f"{3:032x}"]]
    assert named == ["on", MIXED, ABSENT]
    assert factor.levels[factor.reference] == "off"


def test_without_a_usual_name_the_reference_is_the_commonest_level_at_the_start(store: Store) -> None:
    """The level that most early requests ran under is what the others are held against."""
    early = [evaluation(i, "f", "blue") for i in range(1, 31)]
    late = [evaluation(i, "f", "green") for i in range(31, 101)]
    fill(store, roots(100), *early, *late)
    read, _ = circumstances(store)
    assert read.factors[0].levels[read.factors[0].reference] == "blue"


def test_a_flag_with_a_level_per_request_is_set_aside(store: Store) -> None:
    """An identifier posing as a variant explains nothing."""
    fill(store, roots(40), *[evaluation(i, "f", f"level-{i}") for i in range(1, MAX_LEVELS + 10)])
    read, _ = circumstances(store)
    assert (read.factors, read.unbounded_flags) == ((), ("f",))


def test_an_identifier_that_repeats_is_set_aside_with_its_number_of_levels(store: Store) -> None:
    """Five thousand users with two requests each are no assignment."""
    fill(store, roots(10_000), *[evaluation(i, "f", f"user-{i % 5_000}") for i in range(1, 10_001)])
    read, _ = circumstances(store)
    assert (read.factors, read.unbounded_flags, read.unbounded_levels) == ((), ("f",), (5_000,))


@pytest.mark.parametrize(("levels", "kept"), [(13, True), (MAX_COMMON_LEVELS, True), (MAX_COMMON_LEVELS + 1, False)])
def test_a_flag_with_many_common_levels_is_an_assignment(store: Store, levels: int, kept: bool) -> None:
    """Thirteen variants that each many requests got are no identifier; beyond a bound there are too many to compare."""
    fill(store, roots(30 * levels), *[evaluation(i + 1, "f", f"v{i % levels}") for i in range(30 * levels)])
    read, _ = circumstances(store)
    assert [len(f.levels) - FIRST_LEVEL for f in read.factors] == ([levels] if kept else [])
    assert read.unbounded_levels == (() if kept else (levels,))


def test_the_unit_is_the_flags_context_then_the_session_then_the_trace(store: Store) -> None:
    """Requests of one user share a unit, however the user is known."""
    fill(
        store, roots(5), evaluation(1, "f", "on", "u1"), evaluation(2, "f", "on"),
        correlations=((1, "session.id", "s9"), (2, "user.id", "u1"), (3, "session.id", "s1"), (3, "user.id", "u1")),
    )  # fmt: skip
    read, ids = circumstances(store)
    unit = dict(zip(ids, read.circumstances.unit.tolist(), strict=True))
    one, two, three, four, five = (unit[f"{i:032x}"] for i in range(1, 6))
    assert one == two
    assert len({one, three, four, five}) == 4
    assert read.traces_with_unit == 3


def test_a_named_attribute_is_the_unit(store: Store) -> None:
    """`--unit` takes any attribute of any span of the request."""
    fill(store, roots(6, attributes='{"shard": 7}'))
    read, _ = circumstances(store, "shard")
    assert len(set(read.circumstances.unit.tolist())) == 1


def test_versions_are_factors_and_the_oldest_is_the_reference(store: Store) -> None:
    """A service with two versions in the store has a factor; the one with the earliest span is the reference."""
    old, new = roots(4, version="2.0"), roots(100, version="1.9-hotfix")[90:]
    fill(store, [*new, *old])
    read, _ = circumstances(store)
    (factor,) = read.factors
    assert (factor.kind, factor.service, factor.levels[factor.reference]) == ("version", "shop", "2.0")


def test_versions_that_were_there_together_from_the_start_are_ordered_by_number(store: Store) -> None:
    """A store that begins amid a rollout does not leave the reference to chance, and says so."""
    spans = [*roots(4, version="v1.10.0"), *roots(8, version="v1.9.3")[4:]]
    fill(store, spans)
    read, _ = circumstances(store)
    (factor,) = read.factors
    assert (factor.levels[factor.reference], read.unclear_versions) == ("v1.9.3", ("shop",))


def test_versions_without_numbers_are_ordered_by_how_common_they_are(store: Store) -> None:
    """Of commits that were there together from the start the commonest is the reference."""
    fill(store, [*roots(2, version="f00dcafe"), *roots(9, version="badc0de1")[2:]])
    read, _ = circumstances(store)
    assert read.factors[0].levels[read.factors[0].reference] == "badc0de1"


def test_a_request_belongs_to_its_roots_environment(store: Store) -> None:
    """A service that states no environment stays in the requests of one that does."""
    root = roots(2, environment="prod")
    child = [{**row, "span_id": f"{9:016x}", "parent_span_id": row["span_id"], "environment": None} for row in root]
    fill(store, [*root, *child])
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), "prod")
        (linked,) = linked_partitions(cursor, window)
    assert (linked.trace.size, [linked.names.environments[i] for i in linked.environment]) == (4, ["prod", "prod"])


def test_what_was_removed_meanwhile_is_left_out(store: Store) -> None:
    """Requests that retention took after the window was opened, and whole partitions of them, are not there."""
    fill(store, roots(40))
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), None)
        cursor.execute("DELETE FROM spans WHERE trace_id <> ?", [f"{7:032x}"])
        partitions = list(linked_partitions(cursor, window, 5))
    assert [i for linked in partitions for i in linked.trace_ids] == [f"{7:032x}"]
    assert concatenate([facts_of(linked) for linked in partitions]).dur.tolist() == [1_000]
