"""What a page draws beside a report, read from the traces again: call paths of both sides, and pairs of typical traces.

Only a sample of traces is read where there are many: a picture of a thousand requests looks like one of a million. A
trace's hash decides, so that equal stores give equal pictures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.chosen import linked_again, span_ids
from traceguard.explain.call_path_sums import PathSums
from traceguard.explain.compared import compare
from traceguard.explain.evidence import Evidence
from traceguard.explain.question import Question
from traceguard.explain.sides import AFFECTED, REFERENCE, Sides, sides_of
from traceguard.explain.typical import Blamed, typical_trace
from traceguard.traces.call_paths import call_paths
from traceguard.traces.critical_path import callees, own_time
from traceguard.traces.link import Linked

if TYPE_CHECKING:
    import duckdb

MOST_CAUSES = 20
MOST_A_SIDE = 1_500  # requests whose call paths are added up
MOST_SPANS = 600_000

_Key = tuple[model.Entry, tuple[model.Factor, ...]]


def pictures_of(
    cursor: "duckdb.DuckDBPyConnection", evidence: Evidence, question: Question, report: model.Report
) -> model.Pictures:
    """The pictures of the report's first causes; `report` is what `explain` answered to the question."""
    causes = report.causes[:MOST_CAUSES]
    if not causes:
        return model.Pictures(paths=[], causes=[])
    environments = evidence.environment_labels
    compared = compare(evidence, question)
    sums: dict[_Key, PathSums] = {}
    for cause in causes:
        key = _key(cause)
        if key not in sums and (sides := sides_of(*key, compared, evidence, environments)) is not None:
            sums[key] = PathSums(sides)
    names = evidence.window.names
    components = {
        (service, operation, locus): number
        for number in range(2 * len(names.operations))
        for service, operation, locus in [names.component(number)]
    }
    drawn: dict[tuple[int, str], model.TypicalTrace] = {}
    wanted = {
        trace_id: None for cause in causes for trace_id in (*cause.exemplars.affected, *cause.exemplars.reference)
    }
    rows = _chosen(evidence, [each.sides for each in sums.values()], list(wanted))
    blamed = {
        cause.rank: Blamed(sums[_key(cause)].sides, components[cause.service, cause.operation, cause.locus])
        for cause in causes if _key(cause) in sums
    }  # fmt: skip
    for linked in linked_again(cursor, evidence.window, rows, MOST_SPANS):
        callee, own = callees(linked), own_time(linked)
        _add_paths(linked, callee, own, evidence, list(sums.values()))
        here = {trace_id: i for i, trace_id in enumerate(linked.trace_ids) if trace_id in wanted}
        names_of = span_ids(cursor, linked.trace_ids.gather(list(here.values()))) if here else {}
        for cause in causes:
            for trace_id in (*cause.exemplars.affected, *cause.exemplars.reference):
                if trace_id in here and cause.rank in blamed:
                    trace = typical_trace(linked, here[trace_id], callee, blamed[cause.rank], names_of)
                    if trace is not None:
                        drawn[cause.rank, trace_id] = trace
    numbers = {key: number for number, key in enumerate(sums)}
    return model.Pictures(
        paths=[each.document(key[0], key[1], names) for key, each in sums.items()],
        causes=[
            model.CausePictures(
                rank=cause.rank, paths=numbers.get(_key(cause)),
                reference=_drawn(drawn, cause.rank, cause.exemplars.reference),
                affected=_drawn(drawn, cause.rank, cause.exemplars.affected),
            )
            for cause in causes
        ],
    )  # fmt: skip


def _key(cause: model.Cause) -> _Key:
    return cause.entries[0].entry, tuple(cause.factors)


def _drawn(
    found: dict[tuple[int, str], model.TypicalTrace], rank: int, trace_ids: Sequence[str]
) -> list[model.TypicalTrace]:
    return [found[rank, trace_id] for trace_id in trace_ids if (rank, trace_id) in found]


def _chosen(evidence: Evidence, sides: Sequence[Sides], first: Sequence[str]) -> NDArray[np.int64]:
    """Rows of the window to read: the typical traces, then of each side in turn those with the least hash."""
    at = evidence.window.trace_ids.index_of
    typical = [row for row in map(at, first) if row is not None]
    queues = [np.flatnonzero(s.side == which)[:MOST_A_SIDE] for s in sides for which in (REFERENCE, AFFECTED)]
    turns = np.concatenate([np.arange(queue.size) for queue in queues] or [np.empty(0, dtype=np.int64)])
    rows = np.concatenate(queues or [np.empty(0, dtype=np.int64)])
    ordered = np.concatenate((np.array(typical, dtype=np.int64), rows[np.argsort(turns, kind="stable")]))
    _, once = np.unique(ordered, return_index=True)
    chosen: NDArray[np.int64] = ordered[np.sort(once)]
    return chosen


def _add_paths(
    linked: Linked, callee: NDArray[np.int32], own: NDArray[np.int64], evidence: Evidence, sums: Sequence[PathSums]
) -> None:
    rows = evidence.window.rows_of(linked.trace_hash)[linked.trace[linked.root]]
    wanted = [_requests(linked, rows, each.sides) for each in sums]
    anywhere = np.zeros(linked.root.size, dtype=np.bool_)
    for one in wanted:
        anywhere |= one
    paths = call_paths(linked, callee, anywhere)
    for each, requests in zip(sums, wanted, strict=True):
        each.add(linked, paths, own, rows, requests)


def _requests(linked: Linked, rows: NDArray[np.int64], sides: Sides) -> NDArray[np.bool_]:
    entered = (linked.operation[linked.root] == sides.entry) & (linked.environment == sides.environment)
    found: NDArray[np.bool_] = entered & linked.whole & (sides.side[rows] >= 0)
    return found
