"""The command line as a whole: what stands before every command, and the commands in the order of the help."""

from typing import Annotated

import typer

from traceguard.cli import findings, intake, looking, outlooks, upkeep

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


for _group in (intake, findings, outlooks, looking, upkeep):
    app.add_typer(_group.commands)
