"""Labelled faults of two real systems: how often the report names the service at fault, and what it costs.

    python benchmarks/nezha.py RECORDINGS [--system trainticket] [--verbose]

The recordings are Nezha's (Yu et al., FSE 2023; github.com/IntelligentDDS/Nezha): spans of Online Boutique and of Train
Ticket in the minutes around injected faults, without kinds, status or attributes. They are turned into OTLP files
(length-prefixed protobuf, as the Collector's file exporter writes), which go in through `traceguard ingest`. Each fault
whose minutes are present is then asked about with `report`: the baseline is the recording's fault-free minutes, the
candidate the 150 seconds after the injection. The others are skipped and counted.

Scored is the rank of the first cause in the labelled service, causes counted as listed. Beside it stand chance (a
random order of the services) and a simple baseline: services ordered by the largest robust z of their components' self
or inbound time per call, each once. Settings were chosen on Online Boutique only; Train Ticket, whose rows are reported
and not chosen by, was looked at while faults that were missed there were diagnosed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

KINDS = ("network_delay", "cpu_contention", "cpu_consumed", "return", "exception")
SYSTEMS = {"onlineboutique": "onlineboutique_2022-08-23", "trainticket": "trainticket_2023-01-29"}
CANDIDATE_SECONDS = 150
MIN_REQUESTS = 50
SPANS_PER_REQUEST = 512
NOTES = {
    "onlineboutique": "settings were chosen on this system",
    "trainticket": "settings were chosen on the other system; this one was looked at while misses were diagnosed",
}


def main() -> None:
    """Convert, ingest, report, score, print; a system at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="its folder nezha/ holds the recordings and their labels")
    parser.add_argument("--system", choices=SYSTEMS, help="only this one")
    parser.add_argument("--work", type=Path, help="folder for the OTLP files and the stores (default: a temporary one)")
    parser.add_argument("--verbose", action="store_true", help="print the first causes of every fault")
    arguments = parser.parse_args()
    for system, stem in SYSTEMS.items():
        recording, faults = (arguments.folder / "nezha" / f"{stem}{end}" for end in (".parquet", "_faults.json"))
        if arguments.system not in (None, system):
            continue
        if not recording.exists():
            print(f"skipped: {recording} is missing; it is part of Nezha's published data")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            work = arguments.work or Path(temporary)
            work.mkdir(parents=True, exist_ok=True)
            print(f"== {system}")
            spans = load(recording)
            store = ingest(spans, work, system)
            full_report(store, spans)
            score(spans, store, *faults_of(faults, spans), verbose=arguments.verbose)
            print(f"{NOTES[system]}\n")


def load(path: Path) -> pl.DataFrame:
    """The recording's distinct spans with the service, which is the pod's name without its hashes."""
    spans = pl.read_parquet(path).with_columns(
        service=pl.col("PodName").str.replace(r"-[a-z0-9]+-[a-z0-9]{5}$", ""),
        normal=pl.col("minute_file").str.starts_with("normal/"),
    )
    return spans.unique(subset=["TraceID", "SpanID"], keep="first", maintain_order=True)


def ingest(spans: pl.DataFrame, work: Path, system: str) -> Path:
    """Write the spans as OTLP files and load them with the command line; prints what that took."""
    folder, store = work / system, work / f"{system}.duckdb"
    if not folder.exists():
        partial = work / f"{system}.partial"
        partial.mkdir(exist_ok=True)
        for number, part in enumerate(spans.iter_slices(100_000)):
            with (partial / f"traces-{number:02d}.pb").open("wb") as file:
                for body in bodies(part):
                    file.write(len(body).to_bytes(4, "big") + body)
        partial.rename(folder)
    store.unlink(missing_ok=True)
    size = sum(f.stat().st_size for f in folder.iterdir())
    seconds, peak = measured("ingest", str(folder), "--db", str(store))
    print(
        f"ingest: {spans.height:,} spans, {size / 1e6:.0f} MB of OTLP in {seconds:.1f} s"
        f" ({spans.height / seconds:,.0f} spans/s), peak memory {peak:.0f} MB,"
        f" store {store.stat().st_size / 1e6:.0f} MB"
    )
    return store


def bodies(spans: pl.DataFrame) -> Iterator[bytes]:
    """OTLP trace requests of one pod's spans each."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for (pod,), rows in spans.group_by(["PodName"], maintain_order=True):
        for part in rows.iter_slices(SPANS_PER_REQUEST):
            request = ExportTraceServiceRequest()
            resource_spans = request.resource_spans.add()
            for key, value in (("service.name", part["service"][0]), ("service.instance.id", str(pod))):
                attribute = resource_spans.resource.attributes.add()
                attribute.key, attribute.value.string_value = key, value
            scope = resource_spans.scope_spans.add()
            columns = ("TraceID", "SpanID", "ParentID", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano")
            for trace_id, span_id, parent, name, start, end in part.select(columns).iter_rows():
                span = scope.spans.add(
                    trace_id=bytes.fromhex(trace_id), span_id=bytes.fromhex(span_id), name=name,
                    start_time_unix_nano=start, end_time_unix_nano=end,
                )  # fmt: skip
                if parent != "root":
                    span.parent_span_id = bytes.fromhex(parent)
            yield request.SerializeToString()


def measured(*arguments: str) -> tuple[float, float]:
    """Run the command line; wall seconds and peak resident memory in MB."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "traceguard", *arguments], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"traceguard {arguments[0]} ended with {process.returncode}.")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def full_report(store: Path, spans: pl.DataFrame) -> None:
    """Time one report over the whole store, first half of the requests against the second."""
    begun = spans.filter(pl.col("ParentID") == "root")["StartTimeUnixNano"]
    first, middle, last = (moment(int(t)) for t in (begun.min(), begun.median(), begun.max() + 1_000_000_000))
    seconds, peak = measured(
        "report", "--db", str(store), "--format", "json",
        "--baseline", period((first, middle)), "--candidate", period((middle, last)),
    )  # fmt: skip
    print(f"report: {spans.height:,} spans in {seconds:.1f} s (cold process, {spans.height / seconds:,.0f} spans/s), "
          f"peak memory {peak:.0f} MB")  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A labelled fault with the periods to compare."""

    kind: str
    service: str
    baseline: tuple[datetime, datetime]
    candidate: tuple[datetime, datetime]


def faults_of(path: Path, spans: pl.DataFrame) -> tuple[list[Fault], Counter[str]]:
    """The faults with enough requests after the injection; how many have too few, by kind."""
    roots = spans.filter(pl.col("ParentID") == "root")
    normal = roots.filter("normal")["StartTimeUnixNano"]
    baseline = (moment(int(normal.min())), moment(int(normal.max()) + 1_000_000_000))
    found, missing = [], Counter[str]()
    for label in (label for hour in json.loads(path.read_text()).values() for label in hour):
        began = datetime.fromisoformat(label["inject_time"]).replace(tzinfo=UTC)
        ended = datetime.fromtimestamp(began.timestamp() + CANDIDATE_SECONDS, UTC)
        inside = roots.filter(pl.col("StartTimeUnixNano").is_between(nanos(began), nanos(ended), closed="left"))
        if inside.height >= MIN_REQUESTS:
            service = label["inject_pod"].rsplit("-", 2)[0]
            found.append(Fault(label["inject_type"], service, baseline, (began, ended)))
        else:
            missing[label["inject_type"]] += 1
    return found, missing


def moment(ns: int) -> datetime:
    """Nanoseconds as a time in UTC, to the second below."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)


def nanos(time_: datetime) -> int:
    """A time as nanoseconds since the epoch."""
    return round(time_.timestamp()) * 1_000_000_000


def score(spans: pl.DataFrame, store: Path, faults: list[Fault], missing: Counter[str], *, verbose: bool) -> None:
    """Print the table of hits by fault type."""
    import traceguard as tg

    services = sorted(spans["service"].unique())
    ranks: dict[str, list[tuple[str, int]]] = {"traceguard": [], "robust z": []}
    times = []
    opened = tg.open(store)
    for fault in faults:
        began = time.perf_counter()
        analysis = tg.report(opened, baseline=period(fault.baseline), candidate=period(fault.candidate), draw_map=False)
        times.append(time.perf_counter() - began)
        listed = [cause.service for cause in analysis.causes]
        simple = list(dict.fromkeys(service for service, _, _ in robust_z(spans, fault)))
        ranks["traceguard"].append((fault.kind, rank(listed, fault.service)))
        ranks["robust z"].append((fault.kind, rank(simple, fault.service)))
        if verbose:
            ours, theirs = (ranks[name][-1][1] for name in ("traceguard", "robust z"))
            print(f"{fault.candidate[0]:%H:%M:%S} {fault.kind:15}{fault.service:29}rank {ours:3}  robust z {theirs:3}")
            for cause in analysis.causes[:3]:
                where = f"{cause.metric} {cause.service} {cause.operation} {cause.locus}"
                print(f"      {where} {cause.effect.estimate:.3g} {cause.effect.unit} q={cause.q_value:.2g}")
    seconds = np.median(times)
    skipped = ", ".join(f"{count} {kind}" for kind, count in sorted(missing.items())) or "none"
    print(f"{len(faults)} faults with their minutes present, {len(services)} services, median report {seconds:.2f} s")
    print(f"faults skipped because their minutes are missing: {skipped}\n")
    print(f"{'fault':16}{'n':>4}   {'traceguard 1/3/5':>20}   {'robust z 1/3/5':>20}   {'chance 1/3/5':>20}")
    for kind in (*KINDS, "all"):
        chosen = [i for i, f in enumerate(faults) if kind in (f.kind, "all")]
        if chosen:
            cells = [hits([ranks[name][i][1] for i in chosen]) for name in ("traceguard", "robust z")]
            chance = "/".join(f"{len(chosen) * min(k / len(services), 1):.1f}" for k in (1, 3, 5))
            print(f"{kind:16}{len(chosen):>4}   {cells[0]:>20}   {cells[1]:>20}   {chance:>20}")


def hits(ranks: list[int]) -> str:
    """How many ranks lie within the first, three and five."""
    return "/".join(str(sum(1 <= r <= k for r in ranks)) for k in (1, 3, 5))


def rank(listed: list[str], service: str) -> int:
    """The rank of the first entry of `service`, counting entries; 0 if it is not listed."""
    return listed.index(service) + 1 if service in listed else 0


def period(bounds: tuple[datetime, datetime]) -> str:
    """A period as the command line writes it."""
    return "/".join(f"{b:%Y-%m-%dT%H:%M:%SZ}" for b in bounds)


def robust_z(spans: pl.DataFrame, fault: Fault) -> list[tuple[str, str, float]]:
    """Components by the robust z of their time per call: (median after - median before) / (1.4826 MAD before)."""
    parts = []
    for side, bounds in (("before", fault.baseline), ("after", fault.candidate)):
        inside = spans.filter(pl.col("StartTimeUnixNano").is_between(nanos(bounds[0]), nanos(bounds[1]), closed="left"))
        parts.append(component_times(inside).with_columns(side=pl.lit(side)))
    table = (
        pl.concat(parts)
        .group_by("service", "component", "side")
        .agg(median=pl.col("ns").median(), spread=(pl.col("ns") - pl.col("ns").median()).abs().median(), n=pl.len())
    )
    before, after = table.filter(pl.col("side") == "before"), table.filter(pl.col("side") == "after")
    joined = before.join(after, on=["service", "component"], suffix="_after").with_columns(
        z=(pl.col("median_after") - pl.col("median")) / (1.4826 * pl.col("spread") + 1000.0)
    )
    return list(joined.sort("z", descending=True).select("service", "component", "z").iter_rows())


def component_times(spans: pl.DataFrame) -> pl.DataFrame:
    """Self time of every span, and the gap between a caller's span and its only child in another service (inbound)."""
    spans = spans.select(
        "SpanID", "ParentID", "service", "OperationName", ns=pl.col("EndTimeUnixNano") - pl.col("StartTimeUnixNano")
    )
    children = spans.group_by("ParentID").agg(
        below=pl.col("ns").sum(),
        count=pl.len(),
        callee=pl.col("service").first(),
        called=pl.col("OperationName").first(),
    )
    joined = spans.join(children, left_on="SpanID", right_on="ParentID", how="left").with_columns(
        rest=(pl.col("ns") - pl.col("below").fill_null(0)).clip(0)
    )
    inbound = (pl.col("count") == 1) & (pl.col("callee") != pl.col("service"))
    return joined.select(
        service=pl.when(inbound).then("callee").otherwise("service"),
        component=pl.when(inbound)
        .then(pl.format("{} inbound", "called"))
        .otherwise(pl.format("{} self", "OperationName")),
        ns="rest",
    )


if __name__ == "__main__":
    main()
