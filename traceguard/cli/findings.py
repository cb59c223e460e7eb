"""What requests show that were recorded: `report`, `graph`."""

from pathlib import Path
from typing import Annotated

import typer

from traceguard.cli.options import (
    DEFAULT_DB,
    Attributes,
    Db,
    Environment,
    Format,
    Output,
    Reference,
    Since,
    Until,
    Where,
    examples,
)

commands = typer.Typer()


@commands.command(epilog=examples(
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


@commands.command(epilog=examples(
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
