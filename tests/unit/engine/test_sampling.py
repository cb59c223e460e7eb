"""What traces state about their sampling, read from the store."""

import re
from collections.abc import Iterator
from math import nan

import numpy as np
import pyarrow as pa
import pytest
from builders.scenes import START_NS

from traceguard.engine.local import open_window
from traceguard.engine.sampling import read_sampling
from traceguard.otlp.columns import SPANS, Decoded
from traceguard.store import Store, open_store
from traceguard.traces.sampling import Sampling, threshold_count
from traceguard.units import Period


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def span(trace: int, number: int = 1, parent: int | None = None, **columns: object) -> dict[str, object]:
    """A server span of a trace."""
    return {
        "trace_id": f"{trace:032x}", "span_id": f"{number:016x}", "start_ns": START_NS + number, "dur_ns": 1_000,
        "parent_span_id": None if parent is None else f"{parent:016x}", "service": "shop", "operation": "GET /",
        "kind": "server", "status": "unset", "flags": 0, "dropped_attributes": 0, "dropped_events": 0,
        "dropped_links": 0, "evaluation_only": False, "end_before_start_ns": 0, **columns,
    }  # fmt: skip


def read(store: Store, spans: list[dict[str, object]], *keys: str) -> tuple[Sampling, dict[int, float]]:
    """The sampling of these spans' traces, and the adjusted count by trace number."""
    store.append([Decoded(spans=pa.Table.from_pylist(spans, schema=SPANS))])
    with store.cursor() as cursor:
        window = open_window(cursor, Period(), None)
        found = read_sampling(cursor, window, keys)
    return found, {int(t, 16): float(c) for t, c in zip(window.trace_ids, found.count, strict=True)}


STATES = [
    "ot=th:c", "ot=th:0", "ot=rv:123456789abcde;th:e", "ot=th:8;rv:ffffffffffffff", "vendor=x:1, ot=th:c ,a=b",
    "\tot=th:c", "ot=th:C", "ot=th:", "ot=xth:c", "ot=th:123456789abcdef", "ot=th:zz", "vendor=th:c", "xot=th:c",
    "ot=p:8;r:62", "th:c", "", "vendor=a;th:c", "ot=a:b;th:c;d:e", "ot=ath:8;th:c", "ot=th:c g",
]  # fmt: skip


def stated(state: str) -> float:
    """The adjusted count of a trace state, read the slow and obvious way."""
    for member in state.split(","):
        key, _, value = member.strip(" \t").partition("=")
        if key == "ot":
            for pair in value.split(";"):
                name, _, text = pair.strip(" \t").partition(":")
                if name == "th" and re.fullmatch("[0-9a-f]{1,14}", text):
                    return threshold_count(text)
    return nan


def test_the_trace_state_is_read_as_the_specification_writes_it(store: Store) -> None:
    """Other vendors' members, other keys, and what is no threshold state nothing."""
    _, count = read(store, [span(i + 1, trace_state=state) for i, state in enumerate(STATES)])
    assert [count[i + 1] for i in range(len(STATES))] == pytest.approx([stated(s) for s in STATES], nan_ok=True)


def test_the_root_speaks_for_the_trace_and_others_where_it_is_silent(store: Store) -> None:
    """A span below may have been sampled more rarely than the request; it counts only where the root says nothing."""
    spans = [
        span(1, trace_state="ot=th:8"), span(1, 2, 1, trace_state="ot=th:c"),
        span(2), span(2, 2, 1, trace_state="ot=th:c"), span(2, 3, 1, trace_state="ot=th:8"),
        span(3, 2, 9, trace_state="ot=th:e"), span(4),
    ]  # fmt: skip
    _, count = read(store, spans)
    assert [count[i] for i in (1, 2, 3, 4)] == pytest.approx([2, 4, 8, nan], nan_ok=True)


def test_a_named_attribute_states_the_rate_and_wins_over_the_trace_state(store: Store) -> None:
    """N, a probability, text or number, on the span or its resource; the first key that the trace has counts."""
    spans = [
        span(1, attributes='{"SampleRate":20}', trace_state="ot=th:c"),
        span(2, attributes='{"SampleRate":"0.25"}'),
        span(3, attributes='{"other":5}', resource='{"attributes":{"SampleRate":10}}'),
        span(4, attributes='{"other":5}'),
        span(5, attributes='{"SampleRate":"often"}', trace_state="ot=th:8"),
        span(6, attributes='{"other":3,"SampleRate":0}'),
        span(7, attributes='{"SampleRate":9}', kind="internal", parent_span_id="77"),
    ]
    _, count = read(store, spans, "SampleRate", "other")
    assert [count[i] for i in range(1, 8)] == pytest.approx([20, 4, 10, 5, 2, 3, nan], nan_ok=True)


def test_of_several_roots_the_earliest_that_states_a_number_counts(store: Store) -> None:
    """A word instead of a rate does not silence the root that began later."""
    spans = [
        span(1, attributes='{"SampleRate":"often"}'), span(1, 2, attributes='{"SampleRate":6}'),
        span(1, 3, attributes='{"SampleRate":7}'),
    ]  # fmt: skip
    _, count = read(store, spans, "SampleRate")
    assert count[1] == 6


def test_without_a_setting_no_attribute_is_asked(store: Store) -> None:
    """A number on a span means nothing until somebody says so."""
    _, count = read(store, [span(1, attributes='{"SampleRate":20}')])
    assert np.isnan(count[1])


def test_the_policies_of_a_tail_sampler_are_told_apart(store: Store) -> None:
    """The Collector's processor writes the policy to the scope; of a composite one the part counts."""
    scope = '{{"name":"x","attributes":{{"tailsampling.policy":"{}"{}}}}}'
    part = ',"tailsampling.composite_policy":"slow"'
    texts = [
        scope.format("errors", ""),
        scope.format("errors", ""),
        scope.format("rest", ""),
        scope.format("all", part),
    ]
    found, _ = read(store, [*(span(i + 1, scope=text) for i, text in enumerate(texts)), span(5)])
    assert sorted(np.unique(found.policy, return_counts=True)[1].tolist()) == [1, 1, 1, 2]
    assert np.count_nonzero(found.policy < 0) == 1
