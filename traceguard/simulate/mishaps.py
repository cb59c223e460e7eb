"""What happens to telemetry on its way: sampling, losses, clocks that differ, arrival out of order.

Each takes decoded bodies and gives decoded bodies, as a receiver would have got them. The same seed gives the same
mishap.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceguard.otlp.columns import Decoded

THRESHOLDS = {0.5: "8", 0.25: "c", 0.125: "e"}  # ot=th: what is rejected, as a hexadecimal fraction


def head_sampled(body: Decoded, *, before: float, after: float, turn_ns: int, seed: int) -> Decoded:
    """Keep whole traces at the rate `before`, from `turn_ns` on at the rate `after`, and state it in the trace state.

    The rates are keys of `THRESHOLDS`. A trace belongs to the time of its first span.
    """
    draw = np.random.default_rng(seed)
    traces = body.spans.group_by("trace_id").aggregate([("start_ns", "min")]).sort_by("trace_id")
    early = traces["start_ns_min"].to_numpy() < turn_ns
    kept = draw.random(early.size) < np.where(early, before, after)
    names = traces["trace_id"].combine_chunks().filter(pa.array(kept))
    states = pa.array([f"ot=th:{THRESHOLDS[after]}", f"ot=th:{THRESHOLDS[before]}"]).take(
        pa.array(early[kept].astype(np.int64))
    )

    def only(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(table["trace_id"], value_set=names))

    spans = only(body.spans)
    at = pc.index_in(spans["trace_id"], value_set=names)
    spans = _with(spans, "trace_state", states.take(at.combine_chunks()))
    return replace(
        body, spans=spans, flag_records=only(body.flag_records), correlations=only(body.correlations),
        logs=only(body.logs),
    )  # fmt: skip


def lossy(body: Decoded, *, share: float, seed: int) -> Decoded:
    """Lose that share of the spans, each on its own, with what stands on them; log records arrive."""
    lost = np.random.default_rng(seed).random(body.spans.num_rows) < share
    names = body.spans["span_id"].combine_chunks().filter(pa.array(lost))
    logged = body.logs["span_id"].combine_chunks()

    def left(table: pa.Table, *, said_again: bool) -> pa.Table:
        gone = pc.is_in(table["span_id"], value_set=names)
        if said_again:
            gone = pc.and_not(gone, pc.is_in(table["span_id"], value_set=logged))
        return table.filter(pc.invert(gone))

    return replace(
        body, spans=body.spans.filter(pa.array(~lost)), flag_records=left(body.flag_records, said_again=True),
        correlations=left(body.correlations, said_again=False),
    )  # fmt: skip


def skewed(body: Decoded, *, spread_ms: float, seed: int) -> Decoded:
    """Let the clock of every instance be wrong by its own constant, normal with that spread."""
    instances = body.spans["instance"].cast(pa.string()).combine_chunks()
    names = pc.unique(instances)
    wrong = np.random.default_rng(seed).normal(0.0, spread_ms * 1e6, len(names)).astype(np.int64)
    offset = pa.array(wrong).take(pc.index_in(instances, value_set=names))
    spans = _with(body.spans, "start_ns", pc.add(body.spans["start_ns"], offset))

    def moved(table: pa.Table, column: str) -> pa.Table:
        at = pc.index_in(table["span_id"], value_set=body.spans["span_id"].combine_chunks())
        return _with(table, column, pc.add(table[column], offset.take(at.combine_chunks())))

    return replace(
        body, spans=spans, flag_records=moved(body.flag_records, "time_ns"),
        logs=moved(moved(body.logs, "time_ns"), "observed_ns"),
    )  # fmt: skip


def shuffled(body: Decoded, *, pieces: int, seed: int) -> Sequence[Decoded]:
    """Let everything arrive in random order, in that many bodies; a log record does not come with its span."""
    draw = np.random.default_rng(seed)
    tables = {
        name: table.take(pa.array(draw.permutation(table.num_rows)))
        for name, table in (
            ("spans", body.spans), ("flag_records", body.flag_records), ("correlations", body.correlations),
            ("logs", body.logs),
        )
    }  # fmt: skip
    bodies = []
    for number in range(pieces):
        cut = {
            name: table.slice(table.num_rows * number // pieces,
                              table.num_rows * (number + 1) // pieces - table.num_rows * number // pieces)
            for name, table in tables.items()
        }  # fmt: skip
        bodies.append(replace(body, received=cut["spans"].num_rows + cut["logs"].num_rows, **cut))
    return bodies


def _with(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)
