"""What the settings leave out, and how it is counted."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from builders.scenes import START_NS

import traceguard
from traceguard.otlp.columns import SPANS, Decoded
from traceguard.report import Analysis
from traceguard.settings import Settings
from traceguard.store import Store, open_store

SYNTHETIC = '{"user_agent.synthetic.type":"bot"}'


def span(trace: int, operation: str = "GET /", **columns: object) -> dict[str, object]:
    """A server span without parent, one a second."""
    return {
        "trace_id": f"{trace:032x}", "span_id": f"{trace:016x}", "start_ns": START_NS + trace * 1_000_000_000,
        "dur_ns": 1_000, "service": "shop", "operation": operation, "kind": "server", "status": "unset", "flags": 0,
        "dropped_attributes": 0, "dropped_events": 0, "dropped_links": 0, "evaluation_only": False,
        "end_before_start_ns": 0, **columns,
    }  # fmt: skip


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store in memory."""
    with open_store(":memory:", mode="write") as opened:
        yield opened


def reported(store: Store, spans: list[dict[str, object]], env: str | None = None, **settings: object) -> Analysis:
    """The report on these spans under these settings."""
    store.append([Decoded(spans=pa.Table.from_pylist(spans, schema=SPANS))])
    return traceguard.report(store, settings=Settings(**settings), env=env, draw_map=False)  # type: ignore[arg-type]


def left_out(analysis: Analysis) -> list[tuple[str, str, int]]:
    """What the document counts."""
    return [(rule.kind, rule.name, rule.requests) for rule in analysis.document.left_out]


def warning(analysis: Analysis, code: str) -> str | None:
    """The message of the warning with that code."""
    return next((w.message for w in analysis.document.warnings if w.code == code), None)


def test_each_rule_is_counted_by_its_name(store: Store) -> None:
    """Entries by name or pattern, traces by an attribute of their root; what two rules fit counts for the first."""
    spans = [
        *(span(i) for i in range(1, 51)),
        *(span(i, "GET /healthz", attributes=SYNTHETIC) for i in range(51, 54)),
        *(span(i, "GET /probe/deep") for i in range(61, 66)),
        *(span(i, attributes=SYNTHETIC) for i in range(71, 78)),
    ]
    analysis = reported(
        store, spans, leave_out_entries=("shop GET /healthz", "*/probe/*", "GET /unknown"),
        leave_out_attributes={"user_agent.synthetic.type": "*"},
    )  # fmt: skip
    assert left_out(analysis) == [
        ("entry", "shop GET /healthz", 3), ("entry", "*/probe/*", 5), ("attribute", "user_agent.synthetic.type = *", 7),
    ]  # fmt: skip
    told = warning(analysis, "left_out")
    assert told is not None
    assert "5 by entry */probe/*" in told
    assert analysis.document.sampling is not None
    assert analysis.document.sampling.adjusted_requests == 50


def test_nothing_is_left_out_unless_asked(store: Store) -> None:
    """Health checks and robots are requests like others, and health checks among the compared are pointed out."""
    analysis = reported(store, [span(i, "GET /healthz", attributes=SYNTHETIC) for i in range(1, 51)])
    assert left_out(analysis) == []
    told = warning(analysis, "health_checks")
    assert told is not None
    assert "shop GET /healthz" in told


@pytest.mark.parametrize("operation", ["GET /cart", "GET /pingpong", "POST /healthcare", "shopping"])
def test_ordinary_names_are_no_health_checks(store: Store, operation: str) -> None:
    """A word that only begins like a probe's path is left alone."""
    assert warning(reported(store, [span(i, operation) for i in range(1, 51)]), "health_checks") is None


def test_an_attribute_counts_on_the_root_alone(store: Store) -> None:
    """What a span further down carries says nothing about the request; where the root is missing its callee speaks."""
    below = {"parent_span_id": f"{1:016x}", "span_id": f"{9:016x}", "attributes": SYNTHETIC}
    torn = {"parent_span_id": f"{99:016x}", "attributes": SYNTHETIC}
    spans = [*(span(i) for i in range(1, 51)), span(1, "inner", **below), span(60, **torn)]
    assert left_out(reported(store, spans, leave_out_attributes={"user_agent.synthetic.type": "bot"})) == [
        ("attribute", "user_agent.synthetic.type = bot", 1)
    ]


def test_a_value_must_fit_as_a_whole(store: Store) -> None:
    """Signs of regular expressions are letters here."""
    spans = [
        *(span(i) for i in range(1, 51)),
        span(60, attributes='{"kind":"a.b"}'),
        span(61, attributes='{"kind":"axb"}'),
    ]
    assert left_out(reported(store, spans, leave_out_attributes={"kind": "a.b"})) == [("attribute", "kind = a.b", 1)]


def test_other_environments_are_counted(store: Store) -> None:
    """Who asks for one environment sees what is not in the answer."""
    spans = [
        *(span(i, environment="prod") for i in range(1, 51)),
        *(span(i, environment="test") for i in range(51, 54)), span(60),
    ]  # fmt: skip
    analysis = reported(store, spans, env="prod")
    assert left_out(analysis) == [("environment", "unknown", 1), ("environment", "test", 3)]
