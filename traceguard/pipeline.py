"""The whole flow in one file: each public function of traceguard, from a store to a result.

    ingest         files ─▶ otlp ─▶ store
    report         store ─▶ linked traces ─▶ facts + circumstances ─▶ explain ─▶ Analysis
    graph          store ─▶ networkx.DiGraph, or one a slice of time
    graph_diff     store ─▶ both sides' calls per request ─▶ Difference
    blast_radius   store ─▶ linked traces ─▶ reach ─▶ Radius
    what_if        store ─▶ linked traces ─▶ retime, or reweight ─▶ objectives ─▶ Forecast
    plan           store ─▶ linked traces ─▶ retime ─▶ noise, power ─▶ Rollout
    hold           store ─▶ linked traces, kept in memory for several of the questions above
    query          store ─▶ SQL of `queries/read` ─▶ polars.DataFrame
    forget, prune  store ─▶ requests that go ─▶ what went

A store is what `open` returns, a path, or the URL of a running server, which then answers with the same documents.
Times are text (RFC 3339 or relative) or nanoseconds since the epoch; every function covers the whole store unless
`since` and `until` say otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import traceguard
from traceguard.errors import InputError, UnknownNameError, UsageError
from traceguard.settings import Settings, load
from traceguard.store import remote
from traceguard.units import Period, format_time, parse_duration, parse_fraction, parse_period, parse_switch, parse_time

if TYPE_CHECKING:
    import duckdb
    import networkx as nx
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from traceguard.engine.circumstances import Read
    from traceguard.engine.held import HeldWindow
    from traceguard.engine.kept import Shelf
    from traceguard.engine.local import Window
    from traceguard.explain import Evidence
    from traceguard.model import BlastRadius, GraphDiff, Pictures, Plan, Report, WhatIf
    from traceguard.otlp import Decoded
    from traceguard.radius.names import Target
    from traceguard.report import Analysis, Difference, Forecast, Radius, Rollout, Slices
    from traceguard.report.against import Older
    from traceguard.store import Store
    from traceguard.store.forget import Person
    from traceguard.store.removal import Removed
    from traceguard.store.retention import Pruned, Rules
    from traceguard.traces.sampling import Sampling

_BOTH_PERIODS = "A comparison needs both periods; give --baseline START/END and --candidate START/END."

# Small partitions keep all CPUs busy to the end; what a what-if makes of them does not depend on their size.
_RETIMED_SPANS = 300_000

# A file has no other readers than those of this process.
_PATIENCE_SECONDS = 10.0

_TENANT = ("tenant.id",)  # the attribute by which reach is told where nobody names one

Show = Callable[..., None]
_Document = TypeVar("_Document", "BlastRadius", "WhatIf", "Plan")
_Kept = TypeVar("_Kept")
Time = str | int | None
Pairs = str | Sequence[str] | Mapping[str, str]
Slos = Any  # a text, a path or an `Objective`, or several


def _silent(stage: str, done: float = 0.0, total: float | None = None, /) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """A store behind a running server; every function of this module takes it like a local one."""

    url: str

    def __enter__(self) -> Self:
        """The store itself; there is nothing to close."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def open(store: str | Path) -> Store | RemoteStore:  # noqa: A001  (reads as tg.open)
    """Open a store to read: a DuckDB file, or the URL of a running server.

    StoreError says why a file cannot be used: missing, held by another process, newer than the program, not a store.
    """
    if remote.is_url(store):
        return RemoteStore(str(store).rstrip("/"))
    from traceguard.store import open_store

    return open_store(Path(store), mode="read")


@contextlib.contextmanager
def _opened(store: Any) -> Iterator[Any]:
    """A local store; one named by its path is opened and closed again."""
    if _held(store) is not None:
        raise UsageError(
            "A held window answers report, graph, blast_radius, what_if and plan; ask the store itself for the rest."
        )
    if not isinstance(store, str | Path):
        yield store
        return
    with open(store) as opened:
        yield opened


@contextlib.contextmanager
def _reading(store: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor on a local store."""
    with _opened(store) as opened, opened.cursor() as cursor:
        yield cursor


@contextlib.contextmanager
def _asked_of(store: Any, since: Time, until: Time, env: str | None) -> Iterator[_Asked]:
    """A window of a local store, or a held one, on a cursor of its own."""
    if (held := _held(store)) is None:
        period = _period(since, until)
        with _opened(store) as opened, opened.cursor() as cursor:
            yield _Asked(opened, cursor, period, env, None)
        return
    if since is not None or until is not None or env is not None:
        raise UsageError("A held window has its time and environment already; ask the store itself about others.")
    with held.store.cursor() as cursor:
        yield _Asked(held.store, cursor, held.period, held.environment, held)


def _held(store: Any) -> HeldWindow | None:
    if isinstance(store, str | Path | RemoteStore):
        return None
    from traceguard.engine.held import HeldWindow

    return store if isinstance(store, HeldWindow) else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one question reads: a window of an open store, on a cursor of its own."""

    store: Any
    cursor: duckdb.DuckDBPyConnection
    period: Period
    env: str | None
    held: HeldWindow | None

    def window(self) -> Window:
        """The window's traces, beside the store as `window_traces`."""
        from traceguard.engine.local import open_window

        if self.held is not None:
            return self.held.open(self.cursor)
        return open_window(self.cursor, self.period, self.env)

    def once(self, name: Hashable, read: Callable[[], _Kept]) -> _Kept:
        """What `read` gives; of a held window it is read once for all questions."""
        return read() if self.held is None else self.held.once(name, read)


def _url_of(store: Any) -> str | None:
    if isinstance(store, RemoteStore):
        return store.url
    return str(store).rstrip("/") if remote.is_url(store) else None


def _ask(url: str, route: str, **params: Any) -> Any:
    return json.loads(_asked(url, route, "json", params))


def _asked(url: str, route: str, format: str, params: Mapping[str, Any]) -> bytes:
    given = {name.replace("_", "-"): _written(name, value) for name, value in params.items()}
    return remote.ask(url, route, {**given, "format": format})


def _written(name: str, value: Any) -> Any:
    """A parameter as it travels: times as text, whichever way they were given."""
    return format_time(value) if name in {"since", "until"} and isinstance(value, int) else value


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `ingest` did: files read, spans and log records kept, what was refused and why."""

    files: int
    spans: int
    logs: int
    evaluations: int
    refused: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as a dictionary."""
        return {
            "files": self.files, "spans": self.spans, "logs": self.logs, "flag_evaluations": self.evaluations,
            "refused": dict(self.refused),
        }  # fmt: skip

    def __str__(self) -> str:
        """One line for a person."""
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        kept = f"{self.spans:,} spans, {self.logs:,} log records and {self.evaluations:,} flag evaluations"
        text = f"Loaded {kept} from {files}."
        refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.refused.items()))
        return f"{text} Refused: {refused}." if refused else text


def ingest(
    paths: Sequence[str | Path], db: str | Path, *, settings: Settings | None = None, progress: Show = _silent,
    warn: Callable[[str], None] = lambda _: None,
) -> Loaded:  # fmt: skip
    """Load OTLP and Jaeger files into the store `db`, which is made if missing; each file is in whole or not at all.

    `warn` gets one sentence for each thing skipped. A bad file does not stop the others: InputError names the bad ones
    at the end.
    """
    from traceguard.otlp import files as otlp_files
    from traceguard.otlp.redact import check
    from traceguard.store import open_store

    settings = settings or load()
    concern = check(settings)
    if concern is not None:
        warn(concern)
    named = otlp_files.find([str(p) for p in paths], warn)
    if not any(str(file) == "-" or file.exists() for file in named):
        # Nothing to load makes no store; reading what is missing says so.
        for file in named:
            list(otlp_files.read(file, settings, warn))
        return Loaded(0, 0, 0, 0)
    bad: list[str] = []
    total = _Count()
    with open_store(Path(db), mode="write") as store:
        for number, file in enumerate(named):
            progress(f"Loading {file}", number, len(named))
            counted = _Count()
            try:
                store.append(counted.through(otlp_files.read(file, settings, warn)))
            except InputError as error:
                bad.append(str(error))
                continue
            total.add(counted)
    if bad:
        raise InputError(" ".join(bad))
    return Loaded(total.files, total.spans, total.logs, total.evaluations, total.refused)


class _Count:
    """Counts what passes on its way into the store; a file that fails is not counted."""

    def __init__(self) -> None:
        self.files = self.spans = self.logs = self.evaluations = 0
        self.refused: Counter[str] = Counter()

    def through(self, batches: Iterable[Decoded]) -> Iterator[Decoded]:
        self.files += 1
        for batch in batches:
            self.spans += batch.spans.num_rows
            self.logs += batch.logs.num_rows
            self.evaluations += batch.flag_records.num_rows
            self.refused.update(batch.refused)
            yield batch

    def add(self, other: _Count) -> None:
        self.files += other.files
        self.spans += other.spans
        self.logs += other.logs
        self.evaluations += other.evaluations
        self.refused.update(other.refused)


def report(  # noqa: PLR0915  (the whole flow of a report in one place)
    store: Any, *, since: Time = None, until: Time = None, baseline: str | Period | None = None,
    candidate: str | Period | None = None, flag: str | None = None, service: str | None = None,
    entry: str | None = None, unit: str | None = None, alpha: float | str = 0.05, env: str | None = None,
    settings: Settings | None = None, draw_map: bool = True, progress: Show = _silent,
    ignore_watermark: bool | str = False, reference: Pairs = (), attributes: str | Sequence[str] = (),
    where: Pairs = (), live: bool | str = False, draw_pictures: bool | None = None,
    against: Any = None,
) -> Analysis:  # fmt: skip
    """Rank what explains latency and error regressions; see the interface for the document.

    `reference` names levels that the others of their factor are held against: `new-pricing=on`, or
    `service.version@cart=2.8.0`. `attributes` (else those of the settings) become factors, and causes are narrowed
    down to their values; `where` keeps only requests whose attribute has a value: `tenant.id=t42`, of several texts
    with one key either, `*` standing for any text.

    Requests near the end of the data whose spans may still come are left out (`window.watermark` says from when on)
    unless `ignore_watermark` is given. With `live` intervals and verdict hold at every look at a window that still
    grows, for which they are wider.
    `draw_map` adds the service graph for pages and pull requests; without it a large window takes half the time.
    `draw_pictures` (by default as `draw_map`) adds the call paths and typical traces that a page shows. `against` is an
    older report, its JSON file or document, to tell new, gone and changed causes.
    UsageError for options that cannot be used, UnknownNameError for names that the store does not have.
    """
    from traceguard.report import Analysis

    settings, references, conditions = settings or load(), _pairs(reference), _pairs(where)
    draw_pictures = draw_map if draw_pictures is None else draw_pictures
    finished = _Finish(settings, against)
    named = (attributes,) if isinstance(attributes, str) else tuple(dict.fromkeys(attributes))
    if (url := _url_of(store)) is not None:
        asked_there = {
            "since": since, "until": until, "baseline": _text(baseline), "candidate": _text(candidate), "flag": flag,
            "service": service, "entry": entry, "unit": unit, "alpha": alpha, "env": env,
            "ignore_watermark": ignore_watermark or None, "reference": references, "attribute": named,
            "where": conditions, "live": live or None, "pictures": "true" if draw_pictures else None,
        }  # fmt: skip
        document, shown = _remote_report(url, asked_there)
        drawn = graph(store, since=since, until=until, env=env) if draw_map else None
        return Analysis(finished(document), graph=drawn, settings=settings, pictures=shown)
    from traceguard.engine.attributes import Cohorts, only_where, parse_where, with_attributes
    from traceguard.engine.circumstances import read_circumstances
    from traceguard.engine.left_out import read_left_out, traces_elsewhere
    from traceguard.engine.local import open_window
    from traceguard.engine.reference import read_references
    from traceguard.engine.sampling import read_sampling
    from traceguard.explain import Question, explain, gather, pictures_of, with_structure
    from traceguard.model import Asked

    level, judge_all = parse_fraction(alpha, "alpha"), parse_switch(ignore_watermark, "ignore_watermark")
    if not 0.0 < level < 1.0:
        raise UsageError(f"alpha {alpha!r} must lie between 0 and 1, such as 0.05.")
    periods = _compared(baseline, candidate)
    question = Question(
        alpha=level, baseline=periods[0], candidate=periods[1], flag=flag, service=service, entry=entry, unit=unit,
        expected_ratio=settings.expected_ratio, live=parse_switch(live, "live"),
    )  # fmt: skip
    cohorts = Cohorts(named or settings.attributes, bool(named), parse_where(conditions))
    gap, compared = None, None
    with _asked_of(store, since, until, env) as of:
        cursor, window, env = of.cursor, of.period, of.env
        if periods[0] is not None and periods[1] is not None:
            if of.held is not None:
                raise UsageError("A held window is compared by factors; ask the store itself to compare two periods.")
            compared = (periods[0], periods[1])
            window, gap = _hull(window, *compared)
        _check_names(cursor, flag=flag, service=service, entry=entry, env=env)
        question = replace(question, references=read_references(cursor, references, cohorts.keys))

        def gathered() -> tuple[Window, Evidence, int]:
            progress("Opening the window")
            traces = of.window() if of.held is not None else open_window(cursor, window, env, gap)
            read = read_circumstances(cursor, traces, unit, settings.unit_keys)
            read = with_attributes(read, cursor, traces, cohorts)
            left_out = read_left_out(cursor, traces, settings.leave_out_entries, settings.leave_out_attributes)
            left_out = only_where(left_out, cursor, traces, cohorts)
            if env is not None:
                left_out = replace(left_out, elsewhere=traces_elsewhere(cursor, window, env, gap))
            sampling = read_sampling(cursor, traces, settings.sample_rate_keys)
            found = gather(
                cursor, traces, read, left_out, sampling, ignore_watermark=judge_all, periods=compared,
                watch=lambda stage, partitions: _shown(partitions, traces, progress, stage),
            )  # fmt: skip
            return traces, found, found.size

        asked = (window, gap, compared, env, unit, judge_all, cohorts, repr(settings))
        if of.held is not None:
            of.window()
            evidence = of.once(asked, lambda: gathered()[1])
        else:
            evidence = _evidence().get(of.store, cursor, asked, window, gathered)
        progress("Explaining")
        document = explain(evidence, question, traceguard.__version__)
        if compared is not None:
            progress("Comparing the graphs")
            first, second = (_within(window, each) for each in compared)
            document = with_structure(document, _difference(cursor, first, second, env))
        asked_for = Asked(
            flag=flag, service=service, entry=entry, unit=unit, env=env, reference=list(references),
            attribute=list(named), where=list(conditions), ignore_watermark=judge_all,
        )  # fmt: skip
        document = document.model_copy(update={"asked": asked_for})
        progress("Drawing")
        shown = pictures_of(cursor, evidence, question, document) if draw_pictures else None
        drawn = of.once("graph", lambda: _graph(cursor, window, env)) if draw_map else None
        return Analysis(finished(document), graph=drawn, settings=settings, pictures=shown)


def _remote_report(url: str, asked: Mapping[str, Any]) -> tuple[Report, Pictures | None]:
    """What a server reports, and the pictures of a page where these were asked for."""
    from traceguard.model import Pictures, Report

    answer = _ask(url, "report", **asked)
    pictures = answer.pop("pictures", None)
    return Report.model_validate(answer), Pictures.model_validate(pictures) if pictures else None


class _Finish:
    """What is added to a report after it was reckoned: what the team accepted, and how it differs from an older one."""

    def __init__(self, settings: Settings, against: Any) -> None:
        self._settings = settings
        self._older: Older | None = None
        if against is not None:
            from traceguard.report.against import read_older

            # Read first: a report takes long, and a wrong file name should not.
            self._older = read_older(against)

    def __call__(self, document: Report) -> Report:
        from traceguard.explain import with_accepted

        document = with_accepted(document, self._settings.accepted, time.time_ns())
        if self._older is None:
            return document
        from traceguard.report.against import with_against

        return with_against(document, self._older)


@functools.cache
def _evidence() -> Shelf[Evidence]:
    """What stores that are still open were asked about before."""
    from traceguard.engine.kept import Shelf

    return Shelf()


@overload
def graph(
    store: Any, *, since: Time = ..., until: Time = ..., env: str | None = ..., level: str = ..., every: None = ...,
    sketches: bool | str = ..., progress: Show = ...,
) -> nx.DiGraph[str]: ...  # fmt: skip


@overload
def graph(
    store: Any, *, since: Time = ..., until: Time = ..., env: str | None = ..., level: str = ..., every: str | int,
    sketches: bool | str = ..., progress: Show = ...,
) -> Slices: ...  # fmt: skip


def graph(
    store: Any, *, since: Time = None, until: Time = None, env: str | None = None, level: str = "service",
    every: str | int | None = None, sketches: bool | str = False, progress: Show = _silent,
) -> nx.DiGraph[str] | Slices:  # fmt: skip
    """The dependency graph of the window's requests, of services or of their operations (`level`).

    With `every` (text such as 5m, or nanoseconds) a graph for each slice of time; with `sketches` edges carry the
    latency sketch that merges over slices. UsageError for options that cannot be used.
    """
    wanted = parse_switch(sketches, "sketches")
    every_ns = parse_duration(every) if isinstance(every, str) else every
    if (url := _url_of(store)) is not None:
        from traceguard.report.edges import from_document, slices_from_document

        length = None if every_ns is None else f"{every_ns}ns"
        answer = _ask(
            url, "graph", since=since, until=until, env=env, level=level, every=length,
            sketches="true" if wanted else None,
        )  # fmt: skip
        return from_document(answer) if every is None else slices_from_document(answer)
    with _asked_of(store, since, until, env) as of:
        cursor, period, env = of.cursor, of.period, of.env
        _check_names(cursor, env=env)
        progress("Building the graph")
        if every_ns is None:
            return _graph(cursor, period, env, level=level, sketches=wanted)
        from traceguard.graph import build_slices
        from traceguard.report import Slice, Slices

        found = build_slices(cursor, period, env, every_ns=every_ns, level=level, sketches=wanted)
        return Slices(tuple(Slice(*each) for each in found))


def graph_diff(
    store: Any, *, baseline: str | Period, candidate: str | Period, env: str | None = None, level: str = "service",
    progress: Show = _silent,
) -> Difference:  # fmt: skip
    """What differs between the graphs of two periods: new, vanished and changed nodes and edges.

    UsageError for periods that are missing, open or overlap.
    """
    from traceguard.report import Difference

    if (url := _url_of(store)) is not None:
        from traceguard.model import GraphDiff

        asked = _ask(url, "graph", baseline=_text(baseline), candidate=_text(candidate), env=env, level=level)
        return Difference(GraphDiff.model_validate(asked))
    first, second = _compared(baseline, candidate)
    if first is None or second is None:
        raise UsageError("The graph of which periods? Give --baseline START/END and --candidate START/END.")
    with _reading(store) as cursor:
        _check_names(cursor, env=env)
        progress("Comparing the graphs")
        return Difference(_difference(cursor, first, second, env, level))


def graph_question(given: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    """Which kind of result and which function the options of a graph ask for: a graph, its slices, or a difference.

    UsageError for options that do not go together.
    """
    asked = {name for name, value in given.items() if value is not None}
    if not asked & {"baseline", "candidate"}:
        return ("graph-slices" if "every" in asked else "graph"), graph
    if not asked >= {"baseline", "candidate"}:
        raise UsageError(_BOTH_PERIODS)
    if extra := sorted(asked & {"since", "until", "every", "sketches"}):
        raise UsageError(f"--{extra[0]} does not go with --baseline and --candidate; leave it out.")
    return "graph-diff", graph_diff


def hold(
    store: Any, *, since: Time = None, until: Time = None, env: str | None = None, progress: Show = _silent
) -> HeldWindow:
    """A window of a store in memory, to be asked many things in place of the store: each answer then takes less long.

    It stays as it was read, whatever arrives, until something is removed from the store. UsageError for a window of
    more than four million spans, and for a server, which holds what its own page shows.
    """
    from traceguard.engine.held import HeldWindow

    if _url_of(store) is not None:
        raise UsageError("A window is held where the store is; ask a server question by question.")
    if isinstance(store, str | Path):
        raise UsageError("Only a store that stays open can be held; open it with tg.open first.")
    with _reading(store) as cursor:
        _check_names(cursor, env=env)
    return HeldWindow.read(store, _period(since, until), env, progress)


def blast_radius(
    store: Any, *, service: str | None = None, operation: str | None = None, flag: str | None = None,
    since: Time = None, until: Time = None, env: str | None = None, settings: Settings | None = None,
    progress: Show = _silent, read_by: str | Sequence[str] = (), attributes: str | Sequence[str] = (),
    time_zone: str = "UTC",
) -> Radius:  # fmt: skip
    """Who is reached if a service, one of its operations, or a flag goes wrong.

    `read_by` names the services that will read the flag, which then need not exist yet. Reach is also told by the
    values of `attributes` (else those of the settings, else `tenant.id` where it occurs) and by the hour of the week on
    the clocks of `time_zone`, a name of the IANA database such as Europe/Berlin.
    """
    from traceguard.report import Radius

    readers, named = (tuple(dict.fromkeys((x,) if isinstance(x, str) else x)) for x in (read_by, attributes))
    if (url := _url_of(store)) is not None:
        from traceguard.model import BlastRadius

        asked = _ask(
            url, "blast-radius", service=service, operation=operation, flag=flag, since=since, until=until, env=env,
            read_by=readers, attribute=named, time_zone=time_zone,
        )  # fmt: skip
        return Radius(BlastRadius.model_validate(asked))
    from traceguard.engine.attributes import Cohorts, read_attributes
    from traceguard.engine.local import linked_partitions
    from traceguard.radius.by_time import check_time_zone
    from traceguard.radius.names import find_target
    from traceguard.radius.reach import reach, read_evaluators
    from traceguard.radius.systems import as_service
    from traceguard.radius.unseen import read_peers
    from traceguard.traces.sampling import recorded_as

    settings, zone = settings or load(), check_time_zone(time_zone)
    with _asked_of(store, since, until, env) as of:
        cursor = of.cursor
        _check_names(cursor, env=env)

        def systems() -> Sequence[str]:
            of.window()
            return of.once(read_peers, lambda: read_peers(cursor)).names

        target = find_target(
            cursor, service=service, operation=operation, flag=flag, read_by=readers, systems=systems
        )  # fmt: skip
        window = of.window()
        peers = of.once(read_peers, lambda: read_peers(cursor))
        read = _circumstances(of, window, settings)
        partitions = _shown(linked_partitions(cursor, window), window, progress, "Following requests")
        if target.inferred:
            partitions = (as_service(linked, peers, target.service or "") for linked in partitions)
        evaluators, left_out = read_evaluators(cursor, target), _left_out(of, window, settings)
        sampling = (window.trace_hash, recorded_as(_sampling(of, window, settings).count))
        keys = named or settings.attributes
        told_by = Cohorts(keys or _TENANT, named=bool(named))
        cohorts = of.once((read_attributes, told_by), lambda: read_attributes(cursor, window, told_by))
        found = reach(
            partitions, target, of.period, read.circumstances, evaluators, *left_out, sampling, peers=peers,
            attributes=[each for each in cohorts if keys or each.values], time_zone=zone,
            traces_with_unit=read.traces_with_unit,
        )  # fmt: skip
        return Radius(_with_system(_with_left_out(found, window), target))


def what_if(
    store: Any, *, service: str | None = None, operation: str | None = None, delay: str | float | None = None,
    error_rate: str | float | None = None, exposure: str | float | None = None, flag: str | None = None,
    slo: Slos = (), largest: str | None = None, since: Time = None, until: Time = None, env: str | None = None,
    settings: Settings | None = None, progress: Show = _silent,
) -> Forecast:  # fmt: skip
    """Each entry point's latency and errors if a service got slower or failed more, or a flag were extended.

    `delay` is text (`50ms`, `lognormal(40ms,0.5)`) or milliseconds, `error_rate` the share of calls that fail,
    `exposure` the share of requests hit. `flag` (`KEY` or `KEY=VARIANT`) is extended to that share by what requests
    under its levels showed. `slo` are objectives (`p99<800ms`) or OpenSLO files; `largest` (`delay` or `exposure`) asks
    for the largest that keeps them all. UsageError for what cannot be supposed, UnknownNameError for unknown names.
    """
    from traceguard.radius.objective import parse_objectives
    from traceguard.report import Forecast

    objectives = parse_objectives(slo)
    if (url := _url_of(store)) is not None:
        from traceguard.model import WhatIf

        asked = _ask(
            url, "what-if", service=service, operation=operation, delay=_milliseconds(delay), error_rate=error_rate,
            exposure=exposure, flag=flag, slo=tuple(each.text for each in objectives), largest=largest, since=since,
            until=until, env=env,
        )  # fmt: skip
        return Forecast(WhatIf.model_validate(asked))
    from traceguard.engine.circumstances import read_flag, read_units
    from traceguard.engine.local import partition_of, reduced
    from traceguard.radius import what_if as predict
    from traceguard.radius.extension import sides_of
    from traceguard.radius.names import check_objectives, find_target
    from traceguard.radius.outcomes import Users
    from traceguard.radius.scenario import make_scenario
    from traceguard.radius.systems import as_service
    from traceguard.radius.unseen import no_peers, read_peers

    settings = settings or load()
    scenario = make_scenario(
        service, operation, delay=_milliseconds(delay),
        error_rate=None if error_rate is None else parse_fraction(error_rate, "error rate"),
        exposure=None if exposure is None else parse_fraction(exposure, "exposure"),
        flag=flag, largest=largest, objectives=bool(objectives),
    )  # fmt: skip
    with _asked_of(store, since, until, env) as of:
        cursor = of.cursor
        _check_names(cursor, env=env)

        def systems() -> Sequence[str]:
            of.window()
            return of.once(read_peers, lambda: read_peers(cursor)).names

        target = find_target(cursor, service=service, operation=operation, flag=flag, systems=systems, may_be_new=False)
        check_objectives(cursor, objectives)
        progress("Opening the window")
        window = of.window()
        peers = of.once(read_peers, lambda: read_peers(cursor)) if target.inferred else no_peers()
        keys = tuple(settings.unit_keys)
        units = of.once((read_units, keys), lambda: read_units(cursor, window, keys))
        users = Users(window.trace_hash, units)
        more = (objectives, users, *_left_out(of, window, settings))

        def partitions(reduce: Callable[[Any], Any]) -> Iterator[Any]:
            stage = "Retiming requests" if target.flag is None else "Following requests"

            def work(linked: Any) -> Any:
                return reduce(as_service(linked, peers, target.service or "") if target.inferred else linked)

            parts = reduced(cursor, window, work, _RETIMED_SPANS)
            return _shown(parts, window, progress, stage, partition_of(window.spans, _RETIMED_SPANS))

        if target.flag is None:
            found = _with_left_out(predict.what_if(partitions, scenario, *more), window)
            return Forecast(_with_system(found, target))
        sides = sides_of(target.flag, *read_flag(cursor, window, target.flag), window.trace_hash, target.variant)
        return Forecast(_with_left_out(predict.what_if_flag(partitions, scenario, sides, *more), window))


def plan(
    store: Any, *, service: str | None = None, operation: str | None = None, flag: str | None = None,
    delay: str | float | None = None, error_rate: str | float | None = None, power: str | float = 0.8,
    alpha: str | float = 0.05, steps: str | float | Sequence[str | float] | None = None,
    most_users: str | int | None = None, step_time: str | None = None, fixed: bool | str = False, since: Time = None,
    until: Time = None, env: str | None = None, settings: Settings | None = None, progress: Show = _silent,
    read_by: str | Sequence[str] = (),
) -> Rollout:  # fmt: skip
    """Exposure steps for rolling a service, an operation or a flag out, and how long each must last.

    A regression that adds `delay` (text or milliseconds) or `error_rate` to every call of the target is to be shown
    with `power` by a live report that may be read at any time, or with `fixed` by one read once at the end of a step.
    Without a size a tenth of the mean latency is planned for. `steps` are exposures, rising (or a single one); each
    lasts as long as it takes, or `step_time`. `read_by` names the services that will read the flag, which then need not
    exist yet. UsageError for options that cannot be used, UnknownNameError for names the store lacks.
    """
    from traceguard.report import Rollout

    readers = tuple(dict.fromkeys((read_by,) if isinstance(read_by, str) else read_by))
    if (url := _url_of(store)) is not None:
        from traceguard.model import Plan

        if steps is not None and not isinstance(steps, str | int | float):
            steps = ",".join(str(step) for step in steps)
        asked = _ask(
            url, "plan", service=service, operation=operation, flag=flag, delay=_milliseconds(delay),
            error_rate=error_rate, power=power, alpha=alpha, steps=steps, most_users=most_users, step_time=step_time,
            fixed=fixed or None, since=since, until=until, env=env, read_by=readers,
        )  # fmt: skip
        return Rollout(Plan.model_validate(asked))
    from traceguard.radius.names import find_target
    from traceguard.rollout import answer

    level, settings = parse_fraction(alpha, "alpha"), settings or load()
    size = answer.parse_size(_milliseconds(delay), error_rate)
    wish = answer.parse_wish(power, level, steps, most_users, step_time)
    with _asked_of(store, since, until, env) as of:
        _check_names(of.cursor, env=env)
        target = find_target(of.cursor, service=service, operation=operation, flag=flag, read_by=readers)
        window = of.window()
        found = answer.plan(
            of.cursor, window, target, of.period, size, wish, _circumstances(of, window, settings),
            _sampling(of, window, settings), alpha=level, live=not parse_switch(fixed, "fixed"),
            left_out=_left_out(of, window, settings),
            watch=lambda stage, partitions: _shown(partitions, window, progress, stage),
        )  # fmt: skip
        return Rollout(_with_left_out(found, window))


def query(store: Any, name: str, **params: Any) -> pl.DataFrame:
    """Run a query of `queries/read` by name; parameters that are not given read as "all".

    UsageError for parameters that cannot be used, UnknownNameError for names that the store does not have.
    """
    import polars as pl

    if (url := _url_of(store)) is not None:
        return pl.read_ipc_stream(io.BytesIO(_asked(url, f"query/{name}", "arrow", params)))
    _period(params.get("since"), params.get("until"))
    with _reading(store) as cursor:
        frame = _rows(cursor, name, params)
        _check_names(cursor, flag=params.get("flag"), service=params.get("service"), env=params.get("environment"))
        return frame


def _rows(cursor: duckdb.DuckDBPyConnection, name: str, params: Mapping[str, Any]) -> pl.DataFrame:
    import polars as pl

    from traceguard.store import queries

    frame = pl.from_arrow(queries.run(cursor, name, params))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  (narrows the type)
    return frame


def snapshot(store: Any, out: str | Path) -> None:
    """Write a consistent copy of the store to the new file `out`."""
    out = Path(out)
    if (url := _url_of(store)) is not None:
        remote.download(url, "snapshot", out)
        return
    with _opened(store) as opened:
        opened.snapshot(out)


def person(unit: str, key: str | None, settings: Settings) -> Person:
    """Whom `unit` means: the id as it is, and as it stands in the store where ids are hashed at the door."""
    from traceguard.otlp.redact import hash_key, hashed
    from traceguard.store.forget import Person

    if not unit:
        raise UsageError("The id of whom to forget is empty; write it as it stands in the spans.")
    ids = (unit,) if hash_key(settings) is None else (unit, hashed(unit, settings))
    return Person(ids, settings.promoted_keys, key)


def forget(
    store: str | Path, unit: str, *, key: str | None = None, rehearse: bool = False, settings: Settings | None = None
) -> Removed:
    """Remove every request of the person with the id `unit` from the store, and its bytes from the file.

    With `key` only that attribute counts; with `rehearse` nothing happens and the answer is what would.
    """
    from traceguard.store.forget import forget as forget_in
    from traceguard.store.removal import Removed
    from traceguard.store.snapshot import sweep_copies

    if (url := _url_of(store)) is not None:
        given = {"unit": unit, "key": key, "dry_run": rehearse}
        return Removed(**json.loads(remote.post(url, "forget", given)))
    whom = person(unit, key, settings or load())
    with _owned(Path(store)) as own:
        if not rehearse:
            sweep_copies(own.path)  # what a killed server left of its downloads would hold the person as well
        return forget_in(own, whom, patience=_PATIENCE_SECONDS, rehearse=rehearse)


def prune(store: str | Path, rules: Rules, *, now_ns: int | None = None) -> Pruned:
    """Remove from the store in a file what `rules` do not keep as of now, and give the room back."""
    from traceguard.store.removal import Removed
    from traceguard.store.retention import Pruned, tend
    from traceguard.store.space import on_disk

    path = Path(store)
    removed = {"age": Removed(), "size": Removed()}

    def tell(reason: str, more: Removed) -> None:
        removed[reason] += more

    with _owned(path) as own:
        before = on_disk(path)
        tend(own, rules, time.time_ns() if now_ns is None else now_ns, patience=_PATIENCE_SECONDS, tell=tell)
    return Pruned(removed["age"], removed["size"], before, on_disk(path))


def _owned(path: Path) -> Store:
    """The store at `path`, which must exist, open to change it."""
    from traceguard.store import open_store

    return open_store(path, mode="write" if path.exists() else "read")


def _with_system(document: _Document, target: Target) -> _Document:
    """The document with a warning where the target is a system that sent no spans itself."""
    if not target.inferred:
        return document
    from traceguard.radius.systems import system_warning

    told = system_warning(target.service or "")
    return document.model_copy(update={"warnings": [told, *document.warnings]})


def _with_left_out(document: _Document, window: Window) -> _Document:
    """The document with a warning where traces were too large to be looked at."""
    from traceguard.engine.trace_size import too_large
    from traceguard.model import Warning as Caveat

    if (endless := too_large(window)) is None:
        return document
    code, message = endless
    return document.model_copy(update={"warnings": [*document.warnings, Caveat(code=code, message=message)]})


def _left_out(of: _Asked, window: Window, settings: Settings) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """The operations and the traces that the settings leave out."""
    from traceguard.engine.left_out import read_left_out

    entries, attributes = settings.leave_out_entries, settings.leave_out_attributes
    rules = of.once(
        (read_left_out, tuple(entries), tuple(attributes.items())),
        lambda: read_left_out(of.cursor, window, entries, attributes),
    )
    return rules.entries_and_traces(window)


def _circumstances(of: _Asked, window: Window, settings: Settings) -> Read:
    """What each trace ran under, and whose it was."""
    from traceguard.engine.circumstances import read_circumstances

    keys = tuple(settings.unit_keys)
    return of.once((read_circumstances, keys), lambda: read_circumstances(of.cursor, window, None, keys))


def _sampling(of: _Asked, window: Window, settings: Settings) -> Sampling:
    """How many requests each trace stands for."""
    from traceguard.engine.sampling import read_sampling

    keys = tuple(settings.sample_rate_keys)
    return of.once((read_sampling, keys), lambda: read_sampling(of.cursor, window, keys))


def _shown(
    partitions: Iterator[Any], window: Window, progress: Show, stage: str, numbers: NDArray[np.int32] | None = None
) -> Iterator[Any]:
    from traceguard.engine.local import partition_of

    total = int((partition_of(window.spans) if numbers is None else numbers).max(initial=-1)) + 1
    for done, partition in enumerate(partitions):
        progress(stage, done, total)
        yield partition


def _graph(
    cursor: duckdb.DuckDBPyConnection, period: Period, env: str | None, *, level: str = "service",
    sketches: bool = False,
) -> nx.DiGraph[str]:  # fmt: skip
    from traceguard.graph import build

    return build(cursor, period, env, level=level, sketches=sketches)


def _difference(
    cursor: duckdb.DuckDBPyConnection, baseline: Period, candidate: Period, env: str | None, level: str = "service"
) -> GraphDiff:
    from traceguard.graph.difference import difference, sides

    return difference(*sides(cursor, baseline, candidate, env, level=level), level=level)


def _compared(baseline: str | Period | None, candidate: str | Period | None) -> tuple[Period | None, Period | None]:
    """Both periods of a comparison, bounded and apart, or neither."""
    if (baseline is None) != (candidate is None):
        raise UsageError(_BOTH_PERIODS)
    now = time.time_ns()
    first, second = (parse_period(p, now) if isinstance(p, str) else p for p in (baseline, candidate))
    if first is not None and second is not None:
        _refuse_overlap(first, second)
    return first, second


def _within(window: Period, period: Period) -> Period:
    """The part of a bounded period that lies in the window; empty (it ends where it starts) where none does."""
    start, end = period.start_ns or 0, period.end_ns or 0
    start = max(start, start if window.start_ns is None else window.start_ns)
    return Period(start, max(start, end if window.end_ns is None else min(end, window.end_ns)))


def _period(since: Time, until: Time) -> Period:
    now = time.time_ns()
    start, end = (parse_time(t, now) if isinstance(t, str) else t for t in (since, until))
    if start is not None and end is not None and start >= end:
        raise UsageError("The window is empty: it does not start before it ends; give the earlier time as --since.")
    return Period(start, end)


def _hull(window: Period, *periods: Period) -> tuple[Period, Period]:
    """The period that covers both of `periods`, within the window where one was asked for, and the gap between them."""
    first, second = sorted(periods, key=lambda p: p.start_ns or 0)
    start, end = first.start_ns, second.end_ns
    if window.start_ns is not None:
        start = max(start or 0, window.start_ns)
    if window.end_ns is not None:
        end = min(end or window.end_ns, window.end_ns)
    return Period(start, end), Period(first.end_ns, second.start_ns)


def _refuse_overlap(baseline: Period, candidate: Period) -> None:
    bounds = (baseline.start_ns, baseline.end_ns, candidate.start_ns, candidate.end_ns)
    if any(b is None for b in bounds):
        raise UsageError("Both periods of a comparison need a start and an end.")
    if baseline.start_ns < candidate.end_ns and candidate.start_ns < baseline.end_ns:  # type: ignore[operator]
        raise UsageError("The baseline and the candidate overlap; a request can belong to only one of them.")


def _check_names(
    cursor: duckdb.DuckDBPyConnection, *, flag: str | None = None, service: str | None = None,
    entry: str | None = None, env: str | None = None,
) -> None:  # fmt: skip
    """UnknownNameError with the nearest names for a name that the store does not have."""
    columns = (
        ("flag", flag, "SELECT DISTINCT flag_key FROM flag_records"),
        ("service", service, "SELECT DISTINCT service FROM spans"),
        ("entry point", entry, "SELECT DISTINCT operation FROM spans"),
        ("environment", env, "SELECT DISTINCT environment FROM spans WHERE environment IS NOT NULL"),
    )
    for noun, name, sql in columns:
        if name is None:
            continue
        known = [row[0] for row in cursor.execute(sql).fetchall()]
        if name not in known:
            raise UnknownNameError.of(noun, name, known)


def _pairs(given: Pairs) -> tuple[str, ...]:
    """`KEY=VALUE` texts, however they were given: one, several, or a mapping."""
    if isinstance(given, Mapping):
        return tuple(f"{key}={value}" for key, value in given.items())
    return (given,) if isinstance(given, str) else tuple(given)


def _milliseconds(delay: str | float | None) -> str | None:
    return f"{delay:f}ms" if isinstance(delay, int | float) else delay


def _text(period: str | Period | None) -> str | None:
    return f"{format_time(period.start_ns)}/{format_time(period.end_ns)}" if isinstance(period, Period) else period
