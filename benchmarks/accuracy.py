"""How often a report names the planted cause, how honest its intervals are, and how often it cries wolf.

    python benchmarks/accuracy.py [--seeds 30] [--nothing 400] [--families TEXT] [--quick] [--misses]

Each line is a family of `traceguard.simulate.scenarios`: fleets of 20 to 60 services and 5 to 20 flags, 6,000 requests
in half an hour, one planted cause or none; `+` names a mishap on the way. `exact`: rank 1 has the cause's factors,
their levels and its service (`place` also its operation, locus and metric); `top 3`: one of ranks 1 to 3; `factor`,
`service`: rank 1 has these. `±` is a Monte Carlo standard error. `alarms`: reports with a cause of other factors than
those planted, and where nothing is planted those with the verdict `regression`.

`covered`: the part of the 95% intervals that hold the true effect: every interval that the report shows of the planted
component under the planted factors, and of the mean latency and the error rate of the entry points under them. The
truth is the mean difference of pairs of requests with and without the plant (`traceguard.simulate.true_effect`). Where
clocks differ, reports warn that own time and time on the way are mixed up, so components' intervals count apart.

`naive` is Welch's t of every flag (on against off) and every new version (against the old one), by service, on each
request's own time in the service and on its failed spans there, all entry points together; its guess is the largest t,
its alarm Bonferroni's at 5%. `chance` draws a level (or a pair of levels) and a service.

Errors of 2 points are judged where all requests enter at one point: at one of four they are a dozen failures among some
five hundred exposed requests, which the best test that knows where to look tells from chance in 70% of the runs.

`goal` judges exact, where at least 200 requests at the entry point are exposed. A goal is missed if so many misses have
less than 2.5% probability at the goal itself. With --quick fewer seeds are used and a missed goal is exit code 1.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

import traceguard
from traceguard.model import Cause, Factor, Report
from traceguard.otlp.columns import Decoded
from traceguard.simulate import generate, random_fleet
from traceguard.simulate.mishaps import head_sampled, lossy, shuffled, skewed
from traceguard.simulate.scenarios import Level, Scenario, scenario
from traceguard.simulate.true_effect import QUANTILES, TrueEffect
from traceguard.store import open_store

REQUESTS = 6000
START_NS = 1_795_000_000_000_000_000
DURATION_NS = 1_800_000_000_000
TRUTH_REQUESTS, TRUTH_SEEDS = 8000, 3
LEAST_EXPOSED = 200
ALPHA = 0.05
UNLIKELY = 0.025
LOOKS = 200
RUNS_A_PROCESS = 60

# Goals of exact rank 1.
SURE, LIKELY = 0.95, 0.80
COVERAGE = (0.93, 0.97)
MOST_ALARMS = 0.05


@dataclass(frozen=True, slots=True)
class Family:
    """A line of the table: scenarios, what happens to their telemetry, and the goal for exact rank 1 (None: none)."""

    scenario: str
    mishap: str = ""
    goal: float | None = None
    looks: int = 0
    requests: int = REQUESTS

    @property
    def name(self) -> str:
        """The family as the table calls it."""
        looks = f" + {self.looks} looks" if self.looks else ""
        return self.scenario + (f" + {self.mishap}" if self.mishap else "") + looks


MISHAPS: dict[str, Callable[[Decoded, int], Sequence[Decoded]]] = {
    "": lambda body, _: [body],
    # An adaptive sampler that keeps half, and from the middle on a quarter.
    "sampling": lambda body, seed: [
        head_sampled(body, before=0.5, after=0.25, turn_ns=START_NS + DURATION_NS // 2, seed=seed)
    ],
    "lost spans": lambda body, seed: [lossy(body, share=0.01, seed=seed)],
    "clock skew": lambda body, seed: [skewed(body, spread_ms=20.0, seed=seed)],
    "shuffled": lambda body, seed: shuffled(body, pieces=7, seed=seed),
}
SKEWED = ", clock skew"  # closes the kind of a component's interval where clocks differ
ENLARGED = {"sampling": 8 / 3}  # so that 6,000 requests are left

FAMILIES = (
    Family("self, 1 sd", goal=SURE),
    Family("self, 0.3 sd", goal=LIKELY),
    Family("self, 0.1 sd"),
    Family("self, 3% exposed"),
    Family("tail, 0.3 sd", goal=LIKELY),
    Family("inbound, 1 sd", goal=SURE),
    Family("errors, 2 points, one entry", goal=SURE),
    Family("errors, 2 points"),
    Family("errors, 5 points", goal=SURE),
    Family("extra calls, 1 sd", goal=SURE),
    Family("both flags", goal=SURE),
    Family("flag and version", goal=SURE),
    Family("correlated 0.5", goal=SURE),
    Family("correlated 0.9", goal=SURE),
    Family("identical flags", goal=SURE),
    Family("nested ramp, load", goal=SURE),
    Family("targeted at an entry", goal=SURE),
    Family("version", goal=SURE),
    Family("version with flag", goal=SURE),
    Family("flag on some paths", goal=SURE),
    Family("flag upstream", goal=SURE),
    Family("few users", goal=SURE),
    Family("improvement", goal=SURE),
    *(Family("self, 1 sd", mishap, SURE) for mishap in MISHAPS if mishap),
    *(Family("errors, 5 points", mishap, SURE) for mishap in ("sampling", "lost spans")),
    Family("inbound, 1 sd", "clock skew", SURE),
    Family("both flags", "shuffled", SURE),
    Family("nothing"),
    Family("nothing, few users"),
    Family("nothing, ramp, load"),
    *(Family("nothing", mishap) for mishap in ("sampling", "lost spans", "clock skew")),
    Family("nothing", looks=LOOKS, requests=REQUESTS // 3),
)


@dataclass(slots=True)
class Guess:
    """How right an answer is."""

    exact: float = 0.0
    place: float = 0.0
    top3: float = 0.0
    factor: float = 0.0
    service: float = 0.0
    alarm: float = 0.0


@dataclass(slots=True)
class Run:
    """One scenario, analysed: how right ours, the naive answer and chance are, and intervals beside the truth."""

    family: str
    seed: int
    exposed: int = 0
    ours: Guess = field(default_factory=Guess)
    naive: Guess = field(default_factory=Guess)
    chance: Guess = field(default_factory=Guess)
    intervals: list[tuple[str, float, float, float]] = field(default_factory=list)  # kind, low, high, truth
    seconds: tuple[float, float] = (0.0, 0.0)  # of everything, of the report
    planted: str = ""
    answered: str = ""
    wrong_way: bool = False  # an improvement was listed as a cause


def main() -> int:
    """Run every family, print the table, judge the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", type=Path, help="not needed; taken like every benchmark takes it")
    parser.add_argument("--seeds", type=int, help="scenarios a family (30; 2 with --quick)")
    parser.add_argument("--nothing", type=int, help="scenarios of `nothing` (400; 24 with --quick)")
    parser.add_argument("--families", default="", help="only those whose name has this text; several with ; between")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="fewer seeds, and exit code 1 where a goal is missed")
    parser.add_argument("--misses", action="store_true", help="print what was answered instead of each missed cause")
    parser.add_argument("--record", type=Path, help="keep every run in this file, and do not repeat those it has")
    given = parser.parse_args()
    seeds = given.seeds or (2 if given.quick else 30)
    nothing = given.nothing or (24 if given.quick else 400)
    wanted = [text.strip() for text in given.families.split(";")]
    families = [family for family in FAMILIES if any(text in family.name for text in wanted)]
    if given.quick:
        families = [replace(family, looks=family.looks // 8) for family in families]
    jobs = [
        (family, seed) for family in families
        for seed in range(nothing if family.name == "nothing" else seeds)
    ]  # fmt: skip
    begin = time.perf_counter()
    runs = run_all(jobs, given.workers, given.record)
    print_table(families, runs, time.perf_counter() - begin)
    if given.misses:
        print_misses(runs)
    missed = print_goals(families, runs)
    if not given.families and not given.quick:
        print_speed()
    return 1 if missed and given.quick else 0


def print_speed() -> None:
    """How long a report on a million spans with ten flags takes."""
    fleet = random_fleet(7, services=30, flags=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.duckdb"
        spans = piece = 0
        with open_store(path, mode="write") as store:
            while spans < 1_000_000:
                recording = generate(
                    fleet, requests=10_000, seed=piece, start_ns=START_NS + piece * DURATION_NS, duration_ns=DURATION_NS
                )
                store.append([recording.decoded()])
                spans, piece = spans + recording.span_count, piece + 1
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            with traceguard.open(path) as store:  # nothing is kept from one to the next
                traceguard.report(store, draw_map=False)
            seconds.append(time.perf_counter() - begin)
        first, best = seconds[0], min(seconds)
        print(f"report on {spans:,} spans with 10 flags: {best:.1f} s from a warm store (first {first:.1f} s; goal 5)")


def run_all(jobs: Sequence[tuple[Family, int]], workers: int, record: Path | None) -> dict[str, list[Run]]:
    """Every job's result by family, in order of the seeds."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    known = recorded(record)
    found = {
        family.name: [run for f, seed in jobs if f is family and (run := known.get((f.name, seed)))]
        for family, _ in jobs
    }
    left = [(family, seed) for family, seed in jobs if (family.name, seed) not in known]
    begin = time.perf_counter()
    # A new process now and then gives back what Arrow and DuckDB keep.
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=RUNS_A_PROCESS) as pool:
        for number, result in enumerate(pool.imap_unordered(run_job, left), 1):
            found[result.family].append(result)
            if record is not None:
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
            if number % 20 == 0 or number == len(left):
                print(f"{number} of {len(left)} runs, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    return {name: sorted(runs, key=lambda r: r.seed) for name, runs in found.items()}


def recorded(record: Path | None) -> dict[tuple[str, int], Run]:
    """The runs that a file holds, by family and seed."""
    if record is None or not record.exists():
        return {}
    rows = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    runs = [Run(**{**row, **{whose: Guess(**row[whose]) for whose in ("ours", "naive", "chance")}}) for row in rows]
    return {(run.family, run.seed): run for run in runs}


# --- one run ---


def run_job(job: tuple[Family, int]) -> Run:
    """`run` of one argument, as a pool wants it."""
    return run(*job)


def run(family: Family, number: int) -> Run:
    """Make a scenario's telemetry, ask for a report, compare it with the truth."""
    begin = time.perf_counter()
    made = scenario(family.scenario, number)
    seed = zlib.crc32(family.scenario.encode()) % 1_000_000 * 1000 + number
    recording = generate(
        made.fleet, requests=round(family.requests * ENLARGED.get(family.mishap, 1.0)), seed=seed, start_ns=START_NS,
        duration_ns=DURATION_NS,
    )  # fmt: skip
    bodies = MISHAPS[family.mishap](recording.decoded(), seed)
    asked = time.perf_counter()
    with open_store(":memory:", mode="write") as store:
        store.append(bodies)
        reports = [traceguard.report(store, draw_map=False, **look).document for look in looks(family)]
    answered = time.perf_counter()
    document = reports[-1]
    result = Run(family.name, number)
    naive = Naive.of(bodies)
    result.naive = naive.guess(made)
    result.chance = chance(made, naive)
    if made.cause:
        result.exposed = made.exposed(requests=REQUESTS, seed=seed)
        truth = made.truth(requests=TRUTH_REQUESTS, seeds=range(seed + 1, seed + 1 + TRUTH_SEEDS))
        result.intervals = [
            (kind + (SKEWED if family.mishap == "clock skew" and " " in kind else ""), low, high, effect)
            for kind, low, high, effect in intervals(made, document, truth)
        ]
        result.planted = f"{words(made.cause)} {' '.join(made.component or ())}, {result.exposed} exposed"
        if made.entry in truth:
            at = truth[made.entry]
            result.planted += f", {at.latency_ms:.1f} ms of sd {at.spread_ms:.1f}, {at.failed:.3f} failures"
    result.ours = judged(made, document)
    if not made.cause:
        result.ours.alarm = float(any(report.verdict == "regression" for report in reports))
    result.wrong_way = made.improves and any(factors_of(cause) & made.cause for cause in document.causes)
    result.answered = "; ".join(told(c) for c in listed(made, document)[:3]) or document.verdict
    if not made.cause and result.ours.alarm:
        result.answered = "; ".join(
            f"{r.metric} {words(map(level_of, r.factors))} p {r.p_adjusted:.4f} at {r.entry.operation}"
            for r in document.regressions[:3]
        )
    result.seconds = (time.perf_counter() - begin, answered - asked)
    return result


def looks(family: Family) -> list[dict[str, Any]]:
    """What each report is asked: one about everything, or many about a window that grows while the rollout runs."""
    if not family.looks:
        return [{}]
    ends = START_NS + np.linspace(0.05, 1.0, family.looks) * DURATION_NS
    return [{"until": int(end), "live": True} for end in ends]


def listed(made: Scenario, document: Report) -> list[Cause]:
    """Where a report should name the cause."""
    return document.improvements if made.improves else document.causes


def level_of(factor: Factor) -> Level:
    """A document's factor as a scenario names it."""
    return Level("version" if factor.kind == "version" else "flag", factor.key, factor.service, factor.level)


def factors_of(cause: Cause) -> frozenset[Level]:
    """A cause's factors."""
    return frozenset(level_of(factor) for factor in cause.factors)


def names(made: Scenario, factors: frozenset[Level], inseparable: Iterable[Iterable[Factor]] = ()) -> bool:
    """Whether these are the planted factors, or cannot be told from them where no data could."""
    if factors == made.cause:
        return True
    return made.inseparable and any(frozenset(map(level_of, others)) == made.cause for others in inseparable)


def judged(made: Scenario, document: Report) -> Guess:
    """How right the report is."""
    causes = listed(made, document)
    if made.component is None or not causes:
        return Guess(alarm=float(bool(document.causes)))
    service, operation, locus = made.component
    factor = [names(made, factors_of(c), c.inseparable_from) for c in causes]
    exact = [f and c.service == service for f, c in zip(factor, causes, strict=True)]
    metric = "error" if made.fleet.plants[0].family == "error" else "latency"
    first = causes[0]
    there = (first.operation, first.locus) == (operation, locus)
    return Guess(
        exact=exact[0], place=exact[0] and there and (first.metric == "error") == (metric == "error"),
        top3=any(exact[:3]), factor=factor[0], service=first.service == service,
        alarm=float(any(
            not names(made, factors_of(c), c.inseparable_from) or made.improves for c in document.causes
        )),
    )  # fmt: skip


def intervals(
    made: Scenario, document: Report, truth: dict[tuple[str, str], TrueEffect]
) -> list[tuple[str, float, float, float]]:
    """The report's intervals at the planted component under the planted factors, with the true effect."""
    found: list[tuple[str, float, float, float]] = []
    for cause in listed(made, document):
        where = (cause.service, cause.operation, cause.locus)
        if where != made.component or not names(made, factors_of(cause), cause.inseparable_from):
            continue
        if not _of_the_same_requests(made, factors_of(cause)):
            continue
        at = [(e, truth.get((e.entry.service, e.entry.operation))) for e in cause.entries]
        known = [(e, component_effect(effect, cause.metric)) for e, effect in at if effect is not None]
        found += [(f"{cause.metric} at entry", e.effect.low, e.effect.high, effect) for e, effect in known]
        if len(known) == len(at) and len(at) > 1:
            weights = [e.requests.affected for e, _ in known]
            mean = float(np.average([effect for _, effect in known], weights=weights))
            found.append((f"{cause.metric} of cause", cause.effect.low, cause.effect.high, mean))
    # A regression goes by the name of one of those that cannot be told apart; its cause says so.
    called = {factors_of(c) for c in document.causes if names(made, factors_of(c), c.inseparable_from)} | {made.cause}
    called = {factors for factors in called if _of_the_same_requests(made, factors)}
    for r in document.regressions:
        effect = truth.get((r.entry.service, r.entry.operation))
        if effect is None or made.improves or frozenset(map(level_of, r.factors)) not in called:
            continue
        found.append((r.metric, r.low, r.high, root_effect(effect, r.metric)))
    return found


def _of_the_same_requests(made: Scenario, factors: frozenset[Level]) -> bool:
    """Whether an effect under `factors` is per request as the truth is: a version's is per request that reached it."""
    return {level.kind for level in factors} == {level.kind for level in made.cause}


def component_effect(effect: TrueEffect, metric: str) -> float:
    """The true effect on a component that goes with a cause's metric."""
    return {"latency": effect.part_ms, "error": effect.origin, "calls": effect.calls}[metric]


def root_effect(effect: TrueEffect, metric: str) -> float:
    """The true effect on an entry point's metric."""
    if metric == "latency_mean":
        return effect.latency_ms
    if metric == "error_rate":
        return effect.failed
    return effect.quantiles_ms[QUANTILES.index(float(f"0.{metric.removeprefix('latency_p')}"))]


def words(levels: Iterable[Level]) -> str:
    """Levels on one line."""
    return " & ".join(sorted(f"{level.service or level.key}={level.level}" for level in levels)) or "nothing"


def told(cause: Cause) -> str:
    """A cause on one line."""
    effect = f"{cause.effect.estimate:.3g} [{cause.effect.low:.3g}, {cause.effect.high:.3g}] {cause.effect.unit}"
    others = (
        f" = {', '.join(words(map(level_of, o)) for o in cause.inseparable_from)}" if cause.inseparable_from else ""
    )
    return f"{words(factors_of(cause))}{others} {cause.service} {cause.operation} {cause.locus} {effect}"


# --- what one would write first ---


@dataclass(frozen=True, slots=True)
class Naive:
    """Welch's t of l levels by s services, the larger one of own time and of failed spans."""

    levels: tuple[Level, ...]
    services: tuple[str, ...]
    t: np.ndarray[Any, np.dtype[np.float64]]  # (l, s)
    better: np.ndarray[Any, np.dtype[np.float64]]  # (l, s): the same for better
    p: float  # the least p-value for worse, times the number of tests: Bonferroni's

    @classmethod
    def of(cls, bodies: Sequence[Decoded]) -> "Naive":
        """The tests over all requests of the bodies."""
        columns = ["trace_id", "span_id", "parent_span_id", "service", "version", "dur_ns", "status"]
        spans = pl.concat([pl.DataFrame(pl.from_arrow(b.spans.select(columns))) for b in bodies]).with_columns(
            pl.col("service", "version", "status").cast(pl.String)
        )
        below = spans.group_by("parent_span_id").agg(children=pl.col("dur_ns").sum())
        spans = spans.join(below, left_on="span_id", right_on="parent_span_id", how="left").with_columns(
            own=pl.max_horizontal(pl.col("dur_ns") - pl.col("children").fill_null(0), 0) / 1e6,
            failed=(pl.col("status") == "error").cast(pl.Float64),
            trace=pl.col("trace_id").rank("dense").cast(pl.Int64) - 1,
        )
        services = sorted(spans["service"].unique())
        at = (
            spans["trace"].to_numpy() * len(services)
            + spans["service"].replace_strict(services, range(len(services)), return_dtype=pl.Int64).to_numpy()
        )
        total = int(spans["trace"].max()) + 1  # type: ignore[arg-type]
        shape = (total, len(services))
        values = [
            np.bincount(at, spans[column].to_numpy(), total * len(services)).reshape(shape)
            for column in ("own", "failed")
        ]
        sides = {level: pair for level, pair in _levels(bodies, spans).items() if min(map(len, pair)) > 1}
        worse = np.full((len(sides), len(services)), -np.inf)
        better, p = worse.copy(), 1.0
        for value in values:
            for row, (under, other) in enumerate(sides.values()):
                t, dof = welch(value[under], value[other])
                worse[row], better[row] = np.maximum(worse[row], t), np.maximum(better[row], -t)
                p = min(p, float(stats.t.sf(t, dof).min()))
        return cls(tuple(sides), tuple(services), worse, better, p * 2 * worse.size)

    def guess(self, made: Scenario) -> Guess:
        """How right the largest t is."""
        alarm = float(self.p <= ALPHA)
        if made.component is None or not self.levels:
            return Guess(alarm=alarm)
        t = self.better if made.improves else self.t
        order = np.argsort(-t, axis=None, kind="stable")[:3]
        rows, columns = np.unravel_index(order, t.shape)
        factor = [frozenset({self.levels[row]}) == made.cause for row in rows]
        service = [self.services[column] == made.component[0] for column in columns]
        both = [f and s for f, s in zip(factor, service, strict=True)]
        return Guess(exact=both[0], top3=any(both), factor=factor[0], service=service[0], alarm=alarm)


def _levels(bodies: Sequence[Decoded], spans: pl.DataFrame) -> dict[Level, tuple[Any, Any]]:
    """The traces under each flag that is on and each new version, and those under its other level, as numbers."""
    number = spans.unique("trace_id").select("trace_id", "trace")
    columns = ["trace_id", "flag_key", "variant"]
    flags = pl.concat([pl.DataFrame(pl.from_arrow(b.flag_records.select(columns))) for b in bodies])
    flags = (
        flags.unique()
        .join(number, on="trace_id")
        .select(pl.lit(None, pl.String).alias("service"), key="flag_key", level="variant", trace="trace")
    )
    versions = spans.select(
        "service", pl.lit("service.version").alias("key"), pl.col("version").alias("level"), "trace"
    )
    found: dict[Level, tuple[Any, Any]] = {}
    for kind, rows, new in (("flag", flags, "on"), ("version", versions.unique(), "2.0.0")):
        for (service, key), mine in sorted(rows.group_by("service", "key"), key=lambda group: str(group[0])):
            sides = [mine.filter(side)["trace"].to_numpy() for side in (pl.col("level") == new, pl.col("level") != new)]
            found[Level(kind, str(key), service, new)] = (sides[0], sides[1])  # type: ignore[arg-type]
    return found


def welch(one: Any, other: Any) -> tuple[Any, Any]:
    """Welch's t of column means and its degrees of freedom; zero where nothing varies."""
    a, b = one.var(0, ddof=1) / len(one), other.var(0, ddof=1) / len(other)
    error = np.sqrt(a + b)
    t = np.divide(one.mean(0) - other.mean(0), error, out=np.zeros_like(error), where=error > 0)
    below = a**2 / (len(one) - 1) + b**2 / (len(other) - 1)
    return t, np.divide((a + b) ** 2, below, out=np.ones_like(below), where=below > 0)


def chance(made: Scenario, naive: Naive) -> Guess:
    """A level (a pair of levels, where the cause is one) and a service at random."""
    levels, services = max(len(naive.levels), 1), max(len(naive.services), 1)
    choices = levels * (levels - 1) // 2 if len(made.cause) > 1 else levels
    right = (2 if made.inseparable else 1) / max(choices, 1)
    return Guess(
        exact=right / services, top3=min(3 * right / services, 1.0), factor=min(right, 1.0), service=1 / services
    )


# --- the table ---


def share(values: Sequence[float]) -> str:
    """A share with its standard error, in percent; half a success and half a failure more, so that it is never zero."""
    if not values:
        return "–"
    supposed = (sum(values) + 0.5) / (len(values) + 1)
    return f"{100 * np.mean(values):4.0f}±{100 * np.sqrt(supposed * (1 - supposed) / len(values)):2.0f}"


def covered(runs: Sequence[Run], kinds: Callable[[str], bool]) -> tuple[int, float, float]:
    """Number of intervals, the share that holds the truth, and its standard error, clustered by run."""
    hits = [
        np.array([low <= truth <= high for kind, low, high, truth in r.intervals if kinds(kind)], dtype=float)
        for r in runs
    ]  # fmt: skip
    total = sum(h.size for h in hits)
    if total == 0:
        return 0, float("nan"), float("nan")
    mean = sum(h.sum() for h in hits) / total
    return total, mean, float(np.sqrt(sum((h - mean).sum() ** 2 for h in hits))) / total


def judged_kind(kind: str) -> bool:
    """Whether an interval is judged: a cause's, or that of an entry point's mean latency or error rate."""
    return kind not in {"latency_p50", "latency_p95", "latency_p99"} and not kind.endswith(SKEWED)


def print_table(families: Sequence[Family], runs: dict[str, list[Run]], seconds: float) -> None:
    """A line a family."""
    width = max(len(family.name) for family in families) + 1
    head = ("exact", "place", "top 3", "factor", "service", "alarms")
    print(f"percent ± standard error{'':<{width - 18}}{'traceguard':<50}{'':<18}naive{'':<26}chance")
    print(
        f"{'family':<{width}}{'runs':>5}{'small':>6}", *(f"{name:>7}" for name in head), f"{'covered (n)':>16}",
        " ", *(f"{name:>7}" for name in ("exact", "factor", "service", "alarms")), f"{'exact':>7}",
    )  # fmt: skip
    for family in families:
        mine = runs[family.name]
        planted = any(r.planted for r in mine)
        small = sum(r.exposed < LEAST_EXPOSED for r in mine) if planted else 0
        ours = [
            share([getattr(r.ours, name) for r in mine] if planted or name == "alarm" else [])
            for name in ("exact", "place", "top3", "factor", "service", "alarm")
        ]
        naive = [
            share([getattr(r.naive, name) for r in mine] if planted or name == "alarm" else [])
            for name in ("exact", "factor", "service", "alarm")
        ]
        total, mean, error = covered(mine, judged_kind)
        held = f"{100 * mean:5.1f}±{100 * error:3.1f} ({total})" if total else "–"
        lucky = f"{100 * np.mean([r.chance.exact for r in mine]):.1f}" if planted else "–"
        print(
            f"{family.name:<{width}}{len(mine):>5}{small:>6}", *(f"{text:>7}" for text in ours), f"{held:>16}", " ",
            *(f"{text:>7}" for text in naive), f"{lucky:>7}",
        )  # fmt: skip
    every = [r for family in families for r in runs[family.name]]
    for label, kinds in (
        ("all of these", judged_kind),
        *((kind, kind.__eq__) for kind in sorted({k for r in every for k, *_ in r.intervals})),
    ):
        total, mean, error = covered(every, kinds)
        if total:
            print(
                f"95% intervals, {label:<18} {100 * mean:5.1f} ± {100 * error:.1f}% hold the truth, {total} intervals"
            )
    whole, report = (np.array([r.seconds[i] for r in every]) for i in (0, 1))
    print(
        f"{len(every)} runs in {seconds:.0f} s; a run {np.median(whole):.2f} s (median, at most {whole.max():.1f}), "
        f"of it {np.median(report):.2f} s to store and report; a run's flags, versions and services draw chance"
    )


def print_misses(runs: dict[str, list[Run]]) -> None:
    """What was planted and what was answered, where they differ."""
    for name, mine in runs.items():
        for r in mine:
            if (r.planted and not r.ours.exact) or (not r.planted and r.ours.alarm):
                print(f"{name} #{r.seed}: {r.planted or 'nothing'} → {r.answered}")


def print_goals(families: Sequence[Family], runs: dict[str, list[Run]]) -> int:
    """Say of each goal whether it is met; the number of those missed."""
    missed = 0

    def tell(label: str, value: str, goal: str, *, bad: bool) -> None:
        nonlocal missed
        missed += bad
        print(f"  {'MISSED' if bad else 'met   '}  {label:<40}{value:>18}   goal {goal}")

    print("goals")
    for family in families:
        mine = [r for r in runs[family.name] if r.exposed >= LEAST_EXPOSED]
        if family.goal is not None and mine:
            right = int(sum(r.ours.exact for r in mine))
            bad = stats.binom.cdf(right, len(mine), family.goal) < UNLIKELY
            tell(family.name, f"{right} of {len(mine)} exact", f"at least {family.goal:.0%}", bad=bool(bad))
    every = [r for family in families for r in runs[family.name]]
    total, mean, error = covered(every, judged_kind)
    if total:
        low, high = COVERAGE
        bad = mean + 1.96 * error < low or mean - 1.96 * error > high
        tell("95% intervals", f"{100 * mean:.1f} ± {100 * error:.1f}%", f"{low:.0%} to {high:.0%}", bad=bad)
    for family in families:
        mine = runs[family.name]
        if not family.scenario.startswith("nothing") or not mine:
            continue
        alarms = int(sum(r.ours.alarm for r in mine))
        bad = stats.binom.sf(alarms - 1, len(mine), MOST_ALARMS) < UNLIKELY
        tell(f"alarms: {family.name}", f"{alarms} of {len(mine)}", f"at most {MOST_ALARMS:.0%}", bad=bool(bad))
    better = [r for r in every if r.family.startswith("improvement")]
    if better:
        wrong = sum(r.wrong_way for r in better)
        tell("improvements listed as causes", f"{wrong} of {len(better)}", "none", bad=wrong > 0)
    return missed


if __name__ == "__main__":
    sys.exit(main())
