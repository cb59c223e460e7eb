"""From stored spans to cells: spans a second by stage, and the memory it takes, as the store grows.

    python benchmarks/traces.py [RECORDINGS] [--millions 1,5,20] [--work FOLDER]

Stores hold simulated requests of a shop (14 spans each, flags, versions, users). Each stage is timed alone, in one
process; `report` is the whole command on the same store in a process of its own, stages overlapping as they do for
users, the map left out. Online Boutique is Nezha's recording, if it is there. Beside them stands what CRISP (Zhang et
al., USENIX ATC 2022; github.com/uber-research/CRISP) does for one trace, written in plain Python: a Jaeger JSON text a
trace, spans into a tree, children by end, the last-finishing child walked down, time by call path. One process against
one thread of ours (DuckDB's scan alone has all); ours also tells requests apart, and its facts hold errors, retries and
calls beside the paths.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from traceguard.engine.circumstances import read_circumstances
from traceguard.engine.local import linked_partitions, open_window
from traceguard.settings import UNIT_KEYS
from traceguard.simulate import generate, shop
from traceguard.store import open_store
from traceguard.traces.critical_path import own_time
from traceguard.traces.facts import facts_of
from traceguard.traces.link import link
from traceguard.units import Period

REQUESTS_A_PIECE = 40_000
PIECE_NS = 600_000_000_000
BEGIN_NS = 1_790_000_000_000_000_000
PLAIN_TRACES = 3_000


def main() -> None:
    """Build the stores, measure each, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", type=Path, help="its folder nezha/ may hold Online Boutique")
    parser.add_argument("--millions", default="1,5,20", help="sizes of the simulated stores")
    parser.add_argument("--work", type=Path, help="folder for the stores, kept (default: a temporary one)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stages", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(stages(given.measure) if given.stages else whole(given.measure)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        measured(sample(work / "warm.duckdb", 0.01))  # loops are compiled before anything is timed
        print(
            f"{'store':<22}{'spans':>11}", *(f"{name:>14}" for name in NAMES), f"{'report':>14}{'seconds':>9}{'MiB':>7}"
        )
        for text in given.millions.split(","):
            tell(f"simulated, {text} M", sample(work / f"{text}.duckdb", float(text)))
        if given.recordings and (given.recordings / "nezha").is_dir():
            tell("Online Boutique", online_boutique(given.recordings, work))
        print("columns: spans a second of each stage alone; seconds and MiB: of the whole report, MiB its peak memory")
        beside_plain_python(sample(work / "1.duckdb", 1.0))


NAMES = ("window", "circumstances", "scan", "link", "path + facts")


def sample(path: Path, millions: float) -> Path:
    """A store with about so many million simulated spans."""
    if path.exists():
        return path
    spans = piece = 0
    with open_store(path, mode="write") as store:
        while spans < millions * 1e6:
            recording = generate(
                shop(), requests=min(REQUESTS_A_PIECE, int(millions * 1e5)), seed=1000 + piece,
                start_ns=BEGIN_NS + piece * PIECE_NS, duration_ns=PIECE_NS,
            )  # fmt: skip
            store.append([recording.decoded()])
            spans += recording.span_count
            piece += 1
    return path


def online_boutique(recordings: Path, work: Path) -> Path:
    """The recording as a store."""
    import nezha

    spans = nezha.load(recordings / "nezha" / f"{nezha.SYSTEMS['onlineboutique']}.parquet")
    return nezha.ingest(spans, work, "onlineboutique")


@dataclass(slots=True)
class Watch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block as part of a stage."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


def stages(path: Path) -> dict[str, Any]:
    """Seconds of each stage alone."""
    watch = Watch()
    with open_store(path) as store, store.cursor() as cursor:
        with watch.stage("window"):
            window = open_window(cursor, Period(), None)
        with watch.stage("circumstances"):
            read_circumstances(cursor, window, None, UNIT_KEYS)
        from traceguard.engine import local

        partition = local.partition_of(window.spans)
        names = window.name_codes["name"].to_numpy()
        with local.Spill(window.lookup, partition, names, window.rows) as spill:
            with watch.stage("scan"):
                spill.take(local.stream(cursor, "partition_spans"))
            edges = np.searchsorted(partition, np.arange(int(partition[-1]) + 2))
            for number in range(len(edges) - 1):
                column = local.columns_of(spill.partition(number))
                name = column.pop("name")
                with watch.stage("link"):
                    for kind in ("operation", "service", "environment"):
                        column[kind] = window.name_codes[kind].to_numpy()[name]
                    mine = slice(edges[number], edges[number + 1])
                    linked = link(column, window.names, window.trace_ids[mine], window.trace_hash[mine], window.streams)
                with watch.stage("path + facts"):
                    facts_of(linked)
    return {"spans": window.rows, **watch.seconds}


def whole(path: Path) -> dict[str, Any]:
    """The command, its map left out."""
    import traceguard as tg

    begin = time.perf_counter()
    tg.report(path, draw_map=False)
    return {"seconds": time.perf_counter() - begin, "mib": peak_mib()}


def peak_mib() -> float:
    """The most memory that this process has held; getrusage would also count what its parent held at the fork."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def measured(path: Path, *options: str) -> dict[str, Any]:
    """What a fresh process measures."""
    command = [sys.executable, __file__, "--measure", str(path), *options]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def tell(label: str, path: Path) -> None:
    """One row of the table."""
    alone, report = measured(path, "--stages"), measured(path)
    spans = alone["spans"]
    rates = [f"{spans / alone[name]:>14,.0f}" for name in NAMES]
    print(
        f"{label:<22}{spans:>11,}", *rates,
        f"{spans / report['seconds']:>14,.0f}{report['seconds']:>9.2f}{report['mib']:>7,.0f}", flush=True,
    )  # fmt: skip


# --- what one would write first ---


class Node:
    """A span of a trace and the spans below it."""

    __slots__ = ("children", "end", "name", "parent", "start")

    def __init__(self, span: dict[str, Any], service: str) -> None:
        self.start: int = span["startTime"]
        self.end: int = span["startTime"] + span["duration"]
        self.name: str = f"[{service}] {span['operationName']}"
        self.parent: str | None = next((r["spanID"] for r in span["references"] if r["refType"] == "CHILD_OF"), None)
        self.children: list[Node] = []


def plain_trees(trace: dict[str, Any]) -> list[Node]:
    """The roots of a trace in Jaeger's form, with their trees."""
    services = {key: process["serviceName"] for key, process in trace["processes"].items()}
    nodes = {span["spanID"]: Node(span, services[span["processID"]]) for span in trace["spans"]}
    roots = []
    for node in nodes.values():
        above = nodes.get(node.parent) if node.parent else None
        (roots if above is None else above.children).append(node)
    return roots


def plain_path(roots: list[Node], spent: dict[str, int]) -> None:
    """Add the time on the critical path by call path."""
    todo = [(root, root.start, root.end, root.name) for root in roots]
    while todo:
        node, begin, finish, path = todo.pop()
        now, mine = finish, 0
        for child in sorted(node.children, key=lambda child: child.end, reverse=True):
            stop, begun = min(child.end, finish), max(child.start, begin)
            if stop <= now and begun < stop:
                mine += now - stop
                todo.append((child, begun, stop, f"{path}->{child.name}"))
                now = begun
        spent[path] = spent.get(path, 0) + mine + now - begin


def jaeger_texts(path: Path) -> list[str]:
    """Some traces of a store as Jaeger's JSON, a text each."""
    with open_store(path) as store, store.cursor() as cursor:
        ids = open_window(cursor, Period(), None).trace_ids.head(PLAIN_TRACES).to_list()
        frame: Any = pl.from_arrow(
            cursor.sql(
                "SELECT trace_id, span_id, parent_span_id, service, operation, start_ns, dur_ns FROM spans"
                " WHERE list_contains($ids, trace_id) ORDER BY trace_id", params={"ids": ids},
            ).to_arrow_table()
        )  # fmt: skip
    texts = []
    for rows in frame.partition_by("trace_id"):
        services = sorted(set(rows["service"]))
        spans = [
            {
                "traceID": row["trace_id"], "spanID": row["span_id"], "operationName": row["operation"],
                "references": [{"refType": "CHILD_OF", "traceID": row["trace_id"], "spanID": row["parent_span_id"]}]
                if row["parent_span_id"] else [],
                "startTime": row["start_ns"], "duration": row["dur_ns"], "tags": [], "logs": [], "warnings": None,
                "processID": f"p{services.index(row['service'])}",
            }
            for row in rows.to_dicts()
        ]  # fmt: skip
        processes = {f"p{i}": {"serviceName": name, "tags": []} for i, name in enumerate(services)}
        texts.append(json.dumps({"traceID": rows["trace_id"][0], "spans": spans, "processes": processes}))
    return texts


def beside_plain_python(path: Path) -> None:
    """The ratios to plain Python, on one thread."""
    texts = jaeger_texts(path)
    spent: dict[str, int] = {}
    begin = time.perf_counter()
    traces = [json.loads(text) for text in texts]
    read = time.perf_counter()
    trees = [plain_trees(trace) for trace in traces]
    built = time.perf_counter()
    for roots in trees:
        plain_path(roots, spent)
    walked = time.perf_counter()
    spans = sum(len(trace["spans"]) for trace in traces)
    alone, walk = stages(path), path_seconds(path)
    number = alone["spans"]
    print(f"{'plain Python a trace, as CRISP, one process':<48}{'its spans/s':>14}{'ours':>14}{'ratio':>8}")
    for label, plain, ours in (
        ("critical paths of trees", walked - built, walk),
        ("trees from spans in memory, and paths", walked - read, alone["link"] + walk),
        ("from stored traces to paths", walked - begin, alone["scan"] + alone["link"] + walk),
        ("the same, ours with all other facts", walked - begin, alone["scan"] + alone["link"] + alone["path + facts"]),
    ):
        print(f"  {label:<46}{spans / plain:>14,.0f}{number / ours:>14,.0f}{plain / spans / (ours / number):>8.0f}")
    print("  goal 50")


def path_seconds(path: Path) -> float:
    """Seconds that our critical path alone takes over all spans of a store."""
    seconds = 0.0
    with open_store(path) as store, store.cursor() as cursor:
        for linked in linked_partitions(cursor, open_window(cursor, Period(), None)):
            begin = time.perf_counter()
            own_time(linked)
            seconds += time.perf_counter() - begin
    return seconds


if __name__ == "__main__":
    main()
