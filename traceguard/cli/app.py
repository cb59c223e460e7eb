"""Every command with its options: the table of the interface, one function a row."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from traceguard.cli.options import (
    DEFAULT_DB,
    Attributes,
    Db,
    Environment,
    FileDb,
    Format,
    Keep,
    MaxSize,
    Operation,
    Output,
    OwnDb,
    ReadBy,
    Reference,
    Since,
    Until,
    Where,
)

app = typer.Typer(
    name="traceguard",
    help="Finds which service under which feature flag or version explains a regression, from OpenTelemetry traces.",
    # Plain help: it reads the same in a terminal, a pipe and a web page, and needs no imports.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _examples(*lines: str) -> str:
    return "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))


def _file(option: str, about: str) -> Any:
    """An option of `serve` that names a file; like all of them it may stand in the environment."""
    variable = f"TRACEGUARD_{option.strip('-').replace('-', '_').upper()}"
    return typer.Option(option, metavar="FILE", envvar=variable, show_envvar=False, help=about)


def _version(wanted: bool) -> None:
    if wanted:
        import traceguard

        typer.echo(f"traceguard {traceguard.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Finds which service under which feature flag or version explains a regression, from OpenTelemetry traces."""


@app.command(epilog=_examples("traceguard demo", "traceguard demo --requests 1500 -o out"))
def demo(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Keep the store and the HTML report in FOLDER."),
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=200, help="How many requests the shop serves.")] = 3_000,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another day at the shop.")] = 1,
    format: Format = None,
) -> int:
    """Find a regression planted in a simulated shop.

    Every service sends real OTLP through the OpenTelemetry SDK to a real receiver on this machine. Exit code 0 means
    that the planted flag, service and operation were found at rank 1.
    """
    from traceguard.cli import progress
    from traceguard.demo import run

    with progress.shown() as show:
        return run(output, requests=requests, seed=seed, format=format, show=show)


@app.command(
    epilog=_examples(
        "traceguard serve --db live.duckdb",
        "traceguard serve --db live.duckdb --http 127.0.0.1:8318",
        "traceguard serve --db live.duckdb --keep 7d --max-size 50GB",
    )
)
def serve(
    db: OwnDb = DEFAULT_DB,
    grpc: Annotated[
        str, typer.Option("--grpc", metavar="HOST:PORT", help="Where OTLP/gRPC is received.")
    ] = "127.0.0.1:4317",
    http: Annotated[
        str, typer.Option("--http", metavar="HOST:PORT", help="Where OTLP/HTTP, the API and the web page are.")
    ] = "127.0.0.1:4318",
    write_tokens: Annotated[Path | None, _file("--write-token-file", "Tokens to send spans with, one a line.")] = None,
    read_tokens: Annotated[Path | None, _file("--read-token-file", "Tokens to ask with, and for the web page.")] = None,
    admin_tokens: Annotated[Path | None, _file("--admin-token-file", "Tokens that may do everything.")] = None,
    tls_cert: Annotated[Path | None, _file("--tls-cert", "The certificate (chain) of both ports, PEM.")] = None,
    tls_key: Annotated[Path | None, _file("--tls-key", "Its key, PEM, without a passphrase.")] = None,
    tls_client_ca: Annotated[
        Path | None, _file("--tls-client-ca", "Let in only clients with a certificate that it signed.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on another address than loopback without tokens or certificates.")
    ] = False,
    max_body: Annotated[
        str | None,
        typer.Option(
            "--max-body",
            envvar="TRACEGUARD_MAX_BODY",
            metavar="SIZE",
            help="The largest request taken, as sent and unpacked (default: 64MiB).",
        ),
    ] = None,
    keep: Keep = None,
    max_size: MaxSize = None,
    log_format: Annotated[
        str, typer.Option("--log-format", envvar="TRACEGUARD_LOG_FORMAT", metavar="text|json", help="Lines of the log.")
    ] = "text",
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level", envvar="TRACEGUARD_LOG_LEVEL", metavar="LEVEL", help="debug, info, warning or error."
        ),
    ] = "info",
) -> int:
    """Receive OTLP into a store until stopped.

    Takes OTLP over gRPC and HTTP, answers queries, and serves the web page on the HTTP port. A 2xx answer to an export
    means that the spans are committed to disk.

    Tokens may also stand in TRACEGUARD_WRITE_TOKEN, TRACEGUARD_READ_TOKEN and TRACEGUARD_ADMIN_TOKEN. As soon as there
    is one, every request needs one; /healthz and /readyz stay open.
    """
    from traceguard.cli.answer import local
    from traceguard.server import Access, Role, Tls
    from traceguard.server import serve as run
    from traceguard.settings import load

    settings = load()
    if max_body is not None:
        settings = replace(settings, max_body=max_body)
    settings = replace(settings, keep=keep or settings.keep, max_size=max_size or settings.max_size)
    tokens: dict[Role, Path | None] = {"write": write_tokens, "read": read_tokens, "admin": admin_tokens}
    access = Access.load(tokens, os.environ, Tls.of(tls_cert, tls_key, tls_client_ca))
    run(
        local(db), grpc=grpc, http=http, access=access, insecure=insecure, settings=settings, log_format=log_format,
        log_level=log_level,
    )  # fmt: skip
    return 0


@app.command(
    epilog=_examples(
        "traceguard ingest sample_data --db shop.duckdb", "zcat traces.jsonl.gz | traceguard ingest - --db shop.duckdb"
    )
)
def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files or folders; - is standard input.")],
    db: OwnDb = DEFAULT_DB,
    format: Format = None,
    output: Output = None,
) -> int:
    """Load OTLP files into a store.

    OTLP/JSON (one request, or one a line), OTLP protobuf (one request, or the Collector's length-prefixed file form)
    and Jaeger JSON; each plain, .gz or .zst, told by content.
    """
    from traceguard.cli.load import run

    return run(paths, db, format=format, out=output)


@app.command(epilog=_examples(
    "traceguard report --db shop.duckdb",
    "traceguard report --db shop.duckdb --flag new-pricing -o report.html",
    "traceguard report --db shop.duckdb --reference new-pricing=off",
    "traceguard report --db shop.duckdb --fail-on-regression -o report.xml",
))  # fmt: skip
def report(
    db: Db = DEFAULT_DB,
    since: Since = None,
    until: Until = None,
    baseline: Annotated[str | None, typer.Option("--baseline", metavar="START/END", help="The period before.")] = None,
    candidate: Annotated[str | None, typer.Option("--candidate", metavar="START/END", help="The period after.")] = None,
    flag: Annotated[str | None, typer.Option("--flag", metavar="KEY", help="Only what this flag explains.")] = None,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Only causes in this service.")
    ] = None,
    entry: Annotated[
        str | None, typer.Option("--entry", metavar="OPERATION", help="Only requests to this entry point.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="ATTRIBUTE", help="The attribute that says whose request it was.")
    ] = None,
    reference: Reference = None,
    attribute: Attributes = None,
    where: Where = None,
    alpha: Annotated[float, typer.Option("--alpha", help="How often a verdict may be a false alarm.")] = 0.05,
    environment: Environment = None,
    ignore_watermark: Annotated[
        bool, typer.Option("--ignore-watermark", help="Also judge requests whose spans may still come.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="For a running rollout: hold at every look, however often you look.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="OLD.json", help="Say what is new, gone and changed since that report."),
    ] = None,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression",
            help="Exit 3 on a regression that is not accepted, and 4 where the data cannot tell.",
        ),
    ] = False,
    format: Format = None,
    output: Output = None,
) -> int:
    """Rank what explains regressions.

    Which service and operation, under which flag or version, explains how much of a latency or error regression, and
    how sure that is.

    Formats: text, json, md, html, junit.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    question = {
        "since": since, "until": until, "baseline": baseline, "candidate": candidate, "flag": flag, "service": service,
        "entry": entry, "unit": unit, "alpha": alpha, "env": environment, "ignore_watermark": ignore_watermark,
        "reference": reference, "attributes": attribute, "where": where,
        "live": live, "against": against,
    }  # fmt: skip
    return answer("report", pipeline.report, db, question, format=format, out=output, strict=fail_on_regression)


@app.command(epilog=_examples(
    "traceguard graph --db shop.duckdb --format mermaid",
    "traceguard graph --db shop.duckdb --level operation",
    "traceguard graph --db shop.duckdb --every 5m",
))  # fmt: skip
def graph(
    db: Db = DEFAULT_DB,
    level: Annotated[
        str | None,
        typer.Option("--level", metavar="LEVEL", help="Nodes are services (service) or operations (operation)."),
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="A graph for each slice of time, such as 5m.")
    ] = None,
    sketches: Annotated[
        bool, typer.Option("--sketches", help="Add each edge's latency sketch, which merges over slices, to JSON.")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="START/END", help="Compare: how the graph was then.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="START/END", help="Compare: how the graph is now.")
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Show the dependency graph, or what differs between two.

    Who calls whom, how often, how slowly, with how many errors. With two periods: which services and calls are new,
    which vanished, and how calls per request changed.

    Formats: text, json, mermaid, dot, html; of slices text, json.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    question = {
        "level": level, "every": every, "sketches": sketches or None, "baseline": baseline, "candidate": candidate,
        "since": since, "until": until, "env": environment,
    }  # fmt: skip
    kind, ask = pipeline.graph_question(question)
    return answer(kind, ask, db, question, format=format, out=output)


@app.command("blast-radius", epilog=_examples(
    "traceguard blast-radius --db shop.duckdb --service pricing",
    "traceguard blast-radius --db shop.duckdb --flag new-pricing=on --format md",
    "traceguard blast-radius --db shop.duckdb --flag to-come --read-by cart",
))  # fmt: skip
def blast_radius(
    db: Db = DEFAULT_DB,
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="What may go wrong.")] = None,
    operation: Operation = None,
    flag: Annotated[
        str | None, typer.Option("--flag", metavar="KEY[=VARIANT]", help="The flag whose rollout may go wrong.")
    ] = None,
    read_by: ReadBy = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY",
            help="Also tell the reach by the values of this attribute. Repeatable; default: tenant.id where it occurs.",
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option("--time-zone", metavar="NAME", help="Hours of the week on these clocks, such as Europe/Berlin."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Show who is reached if this goes wrong.

    Takes a service, one of its operations, or a flag.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer
    from traceguard.errors import UsageError

    if (service is None) == (flag is None):
        raise UsageError("Say what may go wrong: either --service NAME or --flag KEY.")
    if operation is not None and service is None:
        raise UsageError("--operation belongs to a service; add --service NAME.")
    if read_by and flag is None:
        raise UsageError("--read-by names the services that will read a flag; add --flag KEY.")
    question = {
        "service": service, "operation": operation, "flag": flag, "since": since, "until": until, "env": environment,
        "read_by": read_by, "attributes": attribute, "time_zone": time_zone,
    }  # fmt: skip
    return answer("blast-radius", pipeline.blast_radius, db, question, format=format, out=output)


@app.command("what-if", epilog=_examples(
    "traceguard what-if --db shop.duckdb --service pricing --delay 50ms",
    "traceguard what-if --db shop.duckdb --service payment --error-rate 1%",
    "traceguard what-if --db shop.duckdb --flag new-pricing --exposure 50%",
))  # fmt: skip
def what_if(
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="The service that changes.")] = None,
    db: Db = DEFAULT_DB,
    operation: Operation = None,
    delay: Annotated[
        str | None,
        typer.Option(
            "--delay",
            metavar="DELAY",
            help="Added to every call: 50ms, lognormal(40ms,0.5) of median and sigma, exponential(40ms) of the mean,"
            " or uniform(10ms,90ms).",
        ),
    ] = None,
    error_rate: Annotated[
        str | None, typer.Option("--error-rate", metavar="SHARE", help="The share of calls that fail, such as 1%.")
    ] = None,
    flag: Annotated[
        str | None,
        typer.Option(
            "--flag",
            metavar="KEY[=VARIANT]",
            help="Instead of a service: a flag that is extended to --exposure of the requests.",
        ),
    ] = None,
    exposure: Annotated[
        str | None, typer.Option("--exposure", metavar="SHARE", help="The share of requests that are hit, such as 5%.")
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(
            "--slo",
            metavar="OBJECTIVE",
            help="What has to be kept: p99<800ms, mean<300ms, error_rate<1%, also of one entry point"
            " ('POST /checkout: latency<800ms for 99% in 28d'), or an OpenSLO file. Repeatable.",
        ),
    ] = None,
    largest: Annotated[
        str | None,
        typer.Option("--largest", metavar="delay|exposure", help="Look for the largest that still keeps every --slo."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Predict latency and errors after a change.

    Supposes that a service gets slower or fails more, or that a flag is extended to more requests, and predicts each
    entry point from the recorded requests, with intervals, and what becomes of objectives.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    question = {
        "service": service, "operation": operation, "delay": delay, "error_rate": error_rate, "flag": flag,
        "exposure": exposure, "slo": slo, "largest": largest, "since": since, "until": until, "env": environment,
    }  # fmt: skip
    return answer("what-if", pipeline.what_if, db, question, format=format, out=output)


@app.command(epilog=_examples(
    "traceguard plan --db shop.duckdb --service pricing --delay 20ms",
    "traceguard plan --db shop.duckdb --flag new-pricing --step-time 1h",
    "traceguard plan --db shop.duckdb --flag to-come --read-by cart",
))  # fmt: skip
def plan(
    db: Db = DEFAULT_DB,
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="What is rolled out.")] = None,
    operation: Operation = None,
    flag: Annotated[
        str | None, typer.Option("--flag", metavar="KEY[=VARIANT]", help="The flag that is rolled out.")
    ] = None,
    read_by: ReadBy = None,
    delay: Annotated[
        str | None, typer.Option("--delay", metavar="DURATION", help="The delay a call that must show, such as 20ms.")
    ] = None,
    error_rate: Annotated[
        str | None, typer.Option("--error-rate", metavar="SHARE", help="The share of failing calls that must show.")
    ] = None,
    power: Annotated[
        str | None, typer.Option("--power", metavar="SHARE", help="How surely it must show (default: 80%).")
    ] = None,
    alpha: Annotated[
        str | None, typer.Option("--alpha", metavar="SHARE", help="The report's alpha (default: 5%).")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="SHARES", help="Exposures (default: 1%,5%,25%,50%,100%).")
    ] = None,
    most_users: Annotated[
        str | None, typer.Option("--most-users", metavar="NUMBER", help="Warn where more are hit before it shows.")
    ] = None,
    step_time: Annotated[
        str | None, typer.Option("--step-time", metavar="DURATION", help="How long each step lasts, such as 1h.")
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="The report is read once, at the end of each step, not at any time.")
    ] = False,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Plan a rollout: exposure steps and their time.

    From recorded traffic: how long each exposure must last until a regression of the given size would show in the
    report with the given power, and how many users are hit until then. Without a size, a tenth of the mean latency.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer
    from traceguard.errors import UsageError

    if (service is None) == (flag is None):
        raise UsageError("Say what is rolled out: either --service NAME or --flag KEY.")
    if operation is not None and service is None:
        raise UsageError("--operation belongs to a service; add --service NAME.")
    if read_by and flag is None:
        raise UsageError("--read-by names the services that will read a flag; add --flag KEY.")
    question = {
        "service": service, "operation": operation, "flag": flag, "delay": delay, "error_rate": error_rate,
        "power": power, "alpha": alpha, "steps": steps, "most_users": most_users, "step_time": step_time,
        "fixed": fixed or None, "since": since, "until": until, "env": environment, "read_by": read_by,
    }  # fmt: skip
    return answer("plan", pipeline.plan, db, question, format=format, out=output)


@app.command(epilog=_examples(
    "traceguard query",
    "traceguard query slowest_operations --db shop.duckdb --param service=pricing",
    "traceguard query flag_evaluations --db shop.duckdb -o evaluations.parquet",
))  # fmt: skip
def query(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The query to run; without it, all are listed.")
    ] = None,
    db: Db = DEFAULT_DB,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="A parameter of the query; may be repeated."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """List or run a query.

    Formats: text, json, csv, parquet (with -o).
    """
    from traceguard.cli.ask import listing, run

    if name is None:
        return listing(format=format, out=output)
    given = {"since": since, "until": until, "environment": environment}
    return run(name, db, param or [], given, format=format, out=output)


@app.command(epilog=_examples(
    "traceguard notebook --db shop.duckdb", "traceguard notebook --db shop.duckdb --folder look --no-start"
))  # fmt: skip
def notebook(
    db: Db = DEFAULT_DB,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the notebooks are laid.")] = Path(
        "traceguard-notebooks"
    ),
    existing: Annotated[
        str | None,
        typer.Option("--existing", metavar="keep|replace", help="What becomes of notebooks that lie there already."),
    ] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Only lay them there.")] = False,
) -> int:
    """Open the notebooks that ship against a store.

    Copies them into a folder and starts Jupyter there, which the extra `notebook` installs. Of
    a running server a snapshot is taken into the folder first.
    """
    from traceguard.cli.notebooks import run

    return run(db, folder, existing, start=not no_start)


@app.command(epilog=_examples("traceguard snapshot --db shop.duckdb copy.duckdb"))
def snapshot(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to make; it must not exist.")],
    db: Db = DEFAULT_DB,
) -> int:
    """Copy a store consistently, also a server's."""
    from traceguard import pipeline
    from traceguard.cli.answer import opened
    from traceguard.cli.exits import say

    with opened(db) as store:
        pipeline.snapshot(store, out)
    say(f"Wrote {out}")
    return 0


@app.command(epilog=_examples(
    "traceguard forget --unit user-e4ca665b --db shop.duckdb",
    "echo user-3e4143cb | traceguard forget --unit - --db shop.duckdb",
))  # fmt: skip
def forget(
    unit: Annotated[
        str, typer.Option("--unit", metavar="ID", help="The id of whom to forget; - reads it from standard input.")
    ],
    db: Db = DEFAULT_DB,
    key: Annotated[
        str | None, typer.Option("--key", metavar="ATTRIBUTE", help="Only where this attribute holds the id.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    format: Format = None,
    output: Output = None,
) -> int:
    """Remove one person's requests from a store.

    All spans, flag evaluations, correlations and logs of every request in which the id stands as a user, session or
    request id or as the context of a flag evaluation, also as it was hashed at the door. The file is written anew: no
    byte of them is left in it. Snapshots and backups still hold them. Exit code 5 where no request carries the id.
    """
    from traceguard.cli.remove import run_forget

    return run_forget(unit, key, db, rehearse=dry_run, format=format, out=output)


@app.command(epilog=_examples(
    "traceguard prune --keep 7d --db shop.duckdb", "traceguard prune --max-size 5GB --db shop.duckdb"
))  # fmt: skip
def prune(
    db: FileDb = DEFAULT_DB, keep: Keep = None, max_size: MaxSize = None, format: Format = None, output: Output = None
) -> int:
    """Remove old requests from a store's file.

    What `serve` does with the same options, once: requests whose latest span is older go whole, then the oldest until
    the file is small enough; the room is given back.
    """
    from traceguard.cli.remove import run_prune

    return run_prune(keep, max_size, db, format=format, out=output)
