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

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import traceguard
from traceguard.engine import periods
from traceguard.engine.asked import asked_of, opened, reading
from traceguard.engine.names import check_names
from traceguard.errors import InputError, UsageError
from traceguard.settings import Settings, load
from traceguard.store.loaded import Loaded, Tally
from traceguard.store.remote_store import RemoteStore, behind_server
from traceguard.units import Period, parse_duration, parse_fraction, parse_switch

if TYPE_CHECKING:
    import networkx as nx
    import polars as pl

    from traceguard.engine.held import HeldWindow
    from traceguard.model import Report
    from traceguard.report import Analysis, Difference, Forecast, Radius, Rollout, Slices
    from traceguard.store import Store
    from traceguard.store.forget import Person
    from traceguard.store.removal import Removed
    from traceguard.store.retention import Pruned, Rules

__all__ = ["Loaded", "RemoteStore", "blast_radius", "forget", "graph", "graph_diff", "graph_question", "hold", "ingest",
           "open", "person", "plan", "prune", "query", "report", "snapshot", "what_if"]  # fmt: skip

# A file has no other readers than those of this process.
_PATIENCE_SECONDS = 10.0

_TENANT = ("tenant.id",)  # the attribute by which reach is told where nobody names one

Show = Callable[..., None]
Time = str | int | None
Pairs = str | Sequence[str] | Mapping[str, str]
Slos = Any  # a text, a path or an `Objective`, or several


def _silent(stage: str, done: float = 0.0, total: float | None = None, /) -> None:
    """Nobody watches."""


def open(store: str | Path) -> Store | RemoteStore:  # noqa: A001  (reads as tg.open)
    """Open a store to read: a DuckDB file, or the URL of a running server.

    StoreError says why a file cannot be used: missing, held by another process, newer than the program, not a store.
    """
    if there := behind_server(store):
        return there
    from traceguard.store import open_store

    return open_store(Path(store), mode="read")


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
        return Tally().loaded()
    bad: list[str] = []
    total = Tally()
    with open_store(Path(db), mode="write") as store:
        for number, file in enumerate(named):
            progress(f"Loading {file}", number, len(named))
            counted = Tally()
            try:
                store.append(counted.through(otlp_files.read(file, settings, warn)))
            except InputError as error:
                bad.append(str(error))
                continue
            total.add(counted)
    if bad:
        raise InputError(" ".join(bad))
    return total.loaded()


def report(
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

    settings, references, conditions, named = settings or load(), _pairs(reference), _pairs(where), _names(attributes)
    draw_pictures = draw_map if draw_pictures is None else draw_pictures
    finished = _finish(settings, against)
    if there := behind_server(store):
        document, shown = there.report(
            since=since, until=until, baseline=baseline, candidate=candidate, flag=flag, service=service, entry=entry,
            unit=unit, alpha=alpha, env=env, ignore_watermark=ignore_watermark, reference=references, attribute=named,
            where=conditions, live=live, pictures=draw_pictures,
        )  # fmt: skip
        drawn = graph(store, since=since, until=until, env=env) if draw_map else None
        return Analysis(finished(document), graph=drawn, settings=settings, pictures=shown)
    from traceguard import model
    from traceguard.engine.attributes import Cohorts, parse_where
    from traceguard.engine.reference import read_references
    from traceguard.explain import Question, explain, pictures_of, with_structure
    from traceguard.explain.gathered import evidence_of
    from traceguard.graph import build
    from traceguard.graph.difference import difference, sides

    level, judge_all = parse_fraction(alpha, "alpha"), parse_switch(ignore_watermark, "ignore_watermark")
    if not 0.0 < level < 1.0:
        raise UsageError(f"alpha {alpha!r} must lie between 0 and 1, such as 0.05.")
    compared = periods.parse_compared(baseline, candidate)
    before, after = compared or (None, None)
    question = Question(
        alpha=level, baseline=before, candidate=after, flag=flag, service=service, entry=entry, unit=unit,
        expected_ratio=settings.expected_ratio, live=parse_switch(live, "live"),
    )  # fmt: skip
    cohorts = Cohorts(named or settings.attributes, bool(named), parse_where(conditions))
    with asked_of(store, since, until, env, compared) as of:
        cursor, window, env = of.cursor, of.period, of.env
        check_names(cursor, flag=flag, service=service, entry=entry, env=env)
        question = replace(question, references=read_references(cursor, references, cohorts.keys))
        evidence = evidence_of(
            of, settings, cohorts, unit=unit, compared=compared, ignore_watermark=judge_all, show=progress
        )  # fmt: skip
        progress("Explaining")
        document = explain(evidence, question, traceguard.__version__)
        if compared is not None:
            progress("Comparing the graphs")
            first, second = (periods.within(window, each) for each in compared)
            document = with_structure(document, difference(*sides(cursor, first, second, env)))
        asked = model.Asked(
            flag=flag, service=service, entry=entry, unit=unit, env=env, reference=list(references),
            attribute=list(named), where=list(conditions), ignore_watermark=judge_all,
        )  # fmt: skip
        document = document.model_copy(update={"asked": asked})
        progress("Drawing")
        shown = pictures_of(cursor, evidence, question, document) if draw_pictures else None
        drawn = of.once("graph", lambda: build(cursor, window, env)) if draw_map else None
        return Analysis(finished(document), graph=drawn, settings=settings, pictures=shown)


def _finish(settings: Settings, against: Any) -> Callable[[Report], Report]:
    """What is added to a report after it was reckoned: what the team accepted, how it differs from an older one."""
    from traceguard.report.against import read_older, with_against

    # Read first: a report takes long, and a wrong file name should not.
    older = None if against is None else read_older(against)

    def finished(document: Report) -> Report:
        from traceguard.explain import with_accepted

        document = with_accepted(document, settings.accepted, time.time_ns())
        return document if older is None else with_against(document, older)

    return finished


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
    if there := behind_server(store):
        from traceguard.report.edges import from_document, slices_from_document

        length = None if every_ns is None else f"{every_ns}ns"
        answer = there.graph(since=since, until=until, env=env, level=level, every=length, sketches=wanted)
        return from_document(answer) if every is None else slices_from_document(answer)
    from traceguard.graph import build, build_slices
    from traceguard.report import Slice, Slices

    with asked_of(store, since, until, env) as of:
        check_names(of.cursor, env=of.env)
        if of.held is not None:
            of.window()
        progress("Building the graph")
        if every_ns is None:
            return build(of.cursor, of.period, of.env, level=level, sketches=wanted)
        found = build_slices(of.cursor, of.period, of.env, every_ns=every_ns, level=level, sketches=wanted)
        return Slices(tuple(Slice(*each) for each in found))


def graph_diff(
    store: Any, *, baseline: str | Period, candidate: str | Period, env: str | None = None, level: str = "service",
    progress: Show = _silent,
) -> Difference:  # fmt: skip
    """What differs between the graphs of two periods: new, vanished and changed nodes and edges.

    UsageError for periods that are missing, open or overlap.
    """
    from traceguard.report import Difference

    if there := behind_server(store):
        return Difference(there.graph_diff(baseline=baseline, candidate=candidate, env=env, level=level))
    from traceguard.graph.difference import difference, sides

    compared = periods.parse_compared(baseline, candidate)
    if compared is None:
        raise UsageError("The graph of which periods? Give --baseline START/END and --candidate START/END.")
    with reading(store) as cursor:
        check_names(cursor, env=env)
        progress("Comparing the graphs")
        return Difference(difference(*sides(cursor, *compared, env, level=level), level=level))


def graph_question(given: Mapping[str, Any]) -> tuple[str, Callable[..., Any]]:
    """Which kind of result and which function the options of a graph ask for: a graph, its slices, or a difference.

    UsageError for options that do not go together.
    """
    asked = {name for name, value in given.items() if value is not None}
    if not asked & {"baseline", "candidate"}:
        return ("graph-slices" if "every" in asked else "graph"), graph
    if not asked >= {"baseline", "candidate"}:
        raise UsageError(periods.BOTH_PERIODS)
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

    if behind_server(store):
        raise UsageError("A window is held where the store is; ask a server question by question.")
    if isinstance(store, str | Path):
        raise UsageError("Only a store that stays open can be held; open it with tg.open first.")
    with reading(store) as cursor:
        check_names(cursor, env=env)
    return HeldWindow.read(store, periods.parse_window(since, until), env, progress)


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

    readers, named = _names(read_by), _names(attributes)
    if there := behind_server(store):
        return Radius(there.blast_radius(
            service=service, operation=operation, flag=flag, since=since, until=until, env=env, read_by=readers,
            attribute=named, time_zone=time_zone,
        ))  # fmt: skip
    from traceguard.engine.attributes import Cohorts
    from traceguard.engine.local import linked_partitions, watched
    from traceguard.engine.trace_size import with_too_large
    from traceguard.radius.by_time import check_time_zone
    from traceguard.radius.names import find_target
    from traceguard.radius.reach import reach, read_evaluators
    from traceguard.radius.systems import as_asked, peers_of, system_names, with_system
    from traceguard.traces.sampling import recorded_as

    settings, zone = settings or load(), check_time_zone(time_zone)
    with asked_of(store, since, until, env) as of:
        cursor = of.cursor
        check_names(cursor, env=env)
        target = find_target(
            cursor, service=service, operation=operation, flag=flag, read_by=readers,
            systems=lambda: system_names(of),
        )  # fmt: skip
        window = of.window()
        peers, read = peers_of(of), of.circumstances(window, settings)
        linked = watched(linked_partitions(cursor, window), window, progress, "Following requests")
        partitions = (as_asked(each, peers, target) for each in linked)
        evaluators = of.once((read_evaluators, target.flag, target.variant), lambda: read_evaluators(cursor, target))
        left_out = of.left_out(window, settings)
        sampling = (window.trace_hash, recorded_as(of.sampling(window, settings).count))
        keys = named or settings.attributes
        cohorts = of.attributes(window, Cohorts(keys or _TENANT, named=bool(named)))
        found = reach(
            partitions, target, of.period, read.circumstances, evaluators, *left_out, sampling, peers=peers,
            attributes=[each for each in cohorts if keys or each.values], time_zone=zone,
            traces_with_unit=read.traces_with_unit,
        )  # fmt: skip
        return Radius(with_system(with_too_large(found, window), target))


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

    objectives, delay = parse_objectives(slo), _milliseconds(delay)
    if there := behind_server(store):
        return Forecast(there.what_if(
            service=service, operation=operation, delay=delay, error_rate=error_rate, exposure=exposure, flag=flag,
            slo=[each.text for each in objectives], largest=largest, since=since, until=until, env=env,
        ))  # fmt: skip
    from traceguard.engine.circumstances import read_flag
    from traceguard.engine.local import SMALL_PARTITION, reduced, watched
    from traceguard.engine.trace_size import with_too_large
    from traceguard.radius import what_if as predict
    from traceguard.radius.extension import sides_of
    from traceguard.radius.names import check_objectives, find_target
    from traceguard.radius.outcomes import Users
    from traceguard.radius.scenario import make_scenario
    from traceguard.radius.systems import as_asked, peers_of, system_names, with_system
    from traceguard.radius.unseen import no_peers

    settings = settings or load()
    scenario = make_scenario(
        service, operation, delay=delay,
        error_rate=None if error_rate is None else parse_fraction(error_rate, "error rate"),
        exposure=None if exposure is None else parse_fraction(exposure, "exposure"),
        flag=flag, largest=largest, objectives=bool(objectives),
    )  # fmt: skip
    with asked_of(store, since, until, env) as of:
        cursor = of.cursor
        check_names(cursor, env=env)
        target = find_target(
            cursor, service=service, operation=operation, flag=flag, systems=lambda: system_names(of), may_be_new=False
        )  # fmt: skip
        check_objectives(cursor, objectives)
        progress("Opening the window")
        window = of.window()
        peers = peers_of(of) if target.inferred else no_peers()
        users = Users(window.trace_hash, of.units(window, settings))
        more = (objectives, users, *of.left_out(window, settings))

        def partitions(reduce: Callable[[Any], Any]) -> Iterator[Any]:
            stage = "Retiming requests" if target.flag is None else "Following requests"
            parts = reduced(cursor, window, lambda each: reduce(as_asked(each, peers, target)), SMALL_PARTITION)
            return watched(parts, window, progress, stage, SMALL_PARTITION)

        if target.flag is None:
            found = predict.what_if(partitions, scenario, *more)
        else:
            sides = sides_of(target.flag, *read_flag(cursor, window, target.flag), window.trace_hash, target.variant)
            found = predict.what_if_flag(partitions, scenario, sides, *more)
        return Forecast(with_system(with_too_large(found, window), target))


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

    readers, delay = _names(read_by), _milliseconds(delay)
    if there := behind_server(store):
        return Rollout(there.plan(
            service=service, operation=operation, flag=flag, delay=delay, error_rate=error_rate, power=power,
            alpha=alpha, steps=steps, most_users=most_users, step_time=step_time, fixed=fixed, since=since, until=until,
            env=env, read_by=readers,
        ))  # fmt: skip
    from traceguard.engine.local import watched
    from traceguard.engine.trace_size import with_too_large
    from traceguard.radius.names import find_target
    from traceguard.rollout import answer

    level, settings = parse_fraction(alpha, "alpha"), settings or load()
    size = answer.parse_size(delay, error_rate)
    wish = answer.parse_wish(power, level, steps, most_users, step_time)
    with asked_of(store, since, until, env) as of:
        check_names(of.cursor, env=env)
        target = find_target(of.cursor, service=service, operation=operation, flag=flag, read_by=readers)
        window = of.window()
        found = answer.plan(
            of.cursor, window, target, of.period, size, wish, of.circumstances(window, settings),
            of.sampling(window, settings), alpha=level, live=not parse_switch(fixed, "fixed"),
            left_out=of.left_out(window, settings),
            watch=lambda stage, partitions: watched(partitions, window, progress, stage),
        )  # fmt: skip
        return Rollout(with_too_large(found, window))


def query(store: Any, name: str, **params: Any) -> pl.DataFrame:
    """Run a query of `queries/read` by name; parameters that are not given read as "all".

    UsageError for parameters that cannot be used, UnknownNameError for names that the store does not have.
    """
    if there := behind_server(store):
        return there.query(name, params)
    import polars as pl

    from traceguard.store import queries

    periods.parse_window(params.get("since"), params.get("until"))
    with reading(store) as cursor:
        frame = pl.from_arrow(queries.run(cursor, name, params))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  (narrows the type)
        check_names(cursor, flag=params.get("flag"), service=params.get("service"), env=params.get("environment"))
        return frame


def snapshot(store: Any, out: str | Path) -> None:
    """Write a consistent copy of the store to the new file `out`."""
    if there := behind_server(store):
        there.snapshot(Path(out))
        return
    with opened(store) as local:
        local.snapshot(Path(out))


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
    if there := behind_server(store):
        return there.forget(unit, key, rehearse=rehearse)
    from traceguard.store.forget import forget as forget_in
    from traceguard.store.open import open_existing
    from traceguard.store.snapshot import sweep_copies

    whom = person(unit, key, settings or load())
    with open_existing(Path(store)) as own:
        if not rehearse:
            sweep_copies(own.path)  # what a killed server left of its downloads would hold the person as well
        return forget_in(own, whom, patience=_PATIENCE_SECONDS, rehearse=rehearse)


def prune(store: str | Path, rules: Rules, *, now_ns: int | None = None) -> Pruned:
    """Remove from the store in a file what `rules` do not keep as of now, and give the room back."""
    from traceguard.store.open import open_existing
    from traceguard.store.removal import Removed
    from traceguard.store.retention import Pruned, tend
    from traceguard.store.space import on_disk

    path = Path(store)
    removed = {"age": Removed(), "size": Removed()}

    def tell(reason: str, more: Removed) -> None:
        removed[reason] += more

    with open_existing(path) as own:
        before = on_disk(path)
        tend(own, rules, time.time_ns() if now_ns is None else now_ns, patience=_PATIENCE_SECONDS, tell=tell)
    return Pruned(removed["age"], removed["size"], before, on_disk(path))


def _pairs(given: Pairs) -> tuple[str, ...]:
    """`KEY=VALUE` texts, however they were given: one, several, or a mapping."""
    if isinstance(given, Mapping):
        return tuple(f"{key}={value}" for key, value in given.items())
    return (given,) if isinstance(given, str) else tuple(given)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names, each once, of which a single one may be given as it is."""
    return tuple(dict.fromkeys((given,) if isinstance(given, str) else given))


def _milliseconds(delay: str | float | None) -> str | None:
    """A delay as text, which a number is in milliseconds."""
    return f"{delay:f}ms" if isinstance(delay, int | float) else delay
