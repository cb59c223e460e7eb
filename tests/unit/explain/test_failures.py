"""How a report tells of failures: timeouts and ways of errors behind a cause, retries and N+1 patterns as warnings."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from builders.scenes import recorded

import traceguard
from traceguard import model
from traceguard.otlp.columns import SPANS, Decoded
from traceguard.report import Analysis
from traceguard.simulate import Plant, shop
from traceguard.store import open_store

FAILING = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), error_rate=0.08)


def reported_with(
    change: Callable[[pa.Table], pa.Table], plant: Plant | None = None, requests: int = 6_000
) -> Analysis:
    """The report on a shop whose spans were changed before they were stored."""
    made: Decoded = recorded(shop(plants=() if plant is None else (plant,)), requests=requests).decoded()
    with open_store(":memory:", mode="write") as store:
        store.append([replace(made, spans=change(made.spans))])
        return traceguard.report(store)


def with_message(spans: pa.Table, message: str) -> pa.Table:
    """Every failed span says `message`."""
    failed = pc.equal(spans["status"].cast(pa.string()), "error")
    said = pc.if_else(failed, pa.scalar(message), pa.scalar(None, pa.string()))
    at = spans.schema.get_field_index("status_message")
    return spans.set_column(at, spans.schema.field(at), said.cast(spans.schema.field(at).type))


def first_cause(analysis: Analysis) -> model.Cause:
    """The first cause, which must be the planted one."""
    first = analysis.causes[0]
    assert (first.service, first.metric) == ("pricing", "error")
    return first


def test_a_cause_of_errors_tells_their_ways() -> None:
    """Every way ends where the errors began, and their requests are those that failed there."""
    first = first_cause(reported_with(lambda spans: with_message(spans, "no price"), FAILING))
    assert first.error_paths
    entries = {(e.entry.service, e.entry.operation) for e in first.entries}
    for path in first.error_paths:
        assert (path.steps[-1].service, path.steps[-1].operation) == ("pricing", "ComputeQuote")
        assert (path.steps[0].service, path.steps[0].operation) in entries
    assert [p.requests for p in first.error_paths] == sorted((p.requests for p in first.error_paths), reverse=True)
    assert first.timeout_fraction == 0.0
    assert "timeout" not in first.summary


def test_a_cause_of_timeouts_says_so() -> None:
    """Where the failed spans say that they ran out of time, the cause's errors are timeouts."""
    first = first_cause(reported_with(lambda spans: with_message(spans, "DEADLINE_EXCEEDED"), FAILING))
    assert first.timeout_fraction == 1.0
    assert "mostly by timeouts" in first.summary


def calls_below(spans: pa.Table, counts: Callable[[int], int], *, failed: bool) -> pa.Table:
    """Calls of one operation in a row below each root, `counts(i)` below root i; `failed`: all but the last fail."""
    rows = []
    roots = [r for r in spans.to_pylist() if r["parent_span_id"] is None and not r["evaluation_only"]]
    for i, root in enumerate(roots):
        number = counts(i)
        length = root["dur_ns"] // max(number, 1)
        rows += [
            root | {
                "span_id": f"{i:08x}{k:08x}", "parent_span_id": root["span_id"], "operation": "SELECT item",
                "kind": "client", "start_ns": root["start_ns"] + k * length, "dur_ns": length,
                "status": "error" if failed and k < number - 1 else "unset",
            }
            for k in range(number)
        ]  # fmt: skip
    return pa.concat_tables([spans, pa.Table.from_pylist(rows, schema=SPANS)])


def test_retries_are_told_with_the_time_that_they_took() -> None:
    """A tenth of the requests tries twice: the warning counts the repeats and names the operation."""
    analysis = reported_with(
        lambda spans: calls_below(spans, lambda i: 2 if i % 10 == 0 else 1, failed=True), requests=500
    )
    (told,) = [w.message for w in analysis.warnings if w.code == "retries"]
    assert told.startswith("50 calls repeat a failed attempt, most of them of frontend SELECT item;")


def test_calls_in_a_row_in_varying_number_are_told() -> None:
    """The warning names caller and callee and the most calls, and leads to the query."""
    analysis = reported_with(lambda spans: calls_below(spans, lambda i: 1 + i % 30, failed=False), requests=500)
    (told,) = [w.message for w in analysis.warnings if w.code == "n_plus_one"]
    assert "calls frontend SELECT item up to 30 times" in told
    assert "n_plus_one" in told


def test_a_healthy_shop_has_neither() -> None:
    """Without repeats and long chains there is nothing to warn of."""
    analysis = reported_with(lambda spans: spans, requests=500)
    assert not {"retries", "n_plus_one"} & {w.code for w in analysis.warnings}
