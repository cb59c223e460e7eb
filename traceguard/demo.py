"""The demo: a simulated shop, a real receiver, one planted regression, and the report on it.

Every service of the shop sends OTLP through the OpenTelemetry SDK and its exporters to a server that listens on
loopback for as long as the demo runs. The demo knows what it planted and compares: it ends with 0 where the planted
flag, service and operation stand at rank 1.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from traceguard.errors import UsageError

if TYPE_CHECKING:
    from typing import TextIO

    from traceguard.report import Analysis
    from traceguard.simulate import Plant, Recording

FOLDER = Path("traceguard-demo")
FORMATS = ("text", "json", "md")

_STORE = "shop.duckdb"
_PAGE = "report.html"
# The recording ends now, so that `--since -1h` finds it.
_DURATION_NS = 50 * 60 * 1_000_000_000

Show = Callable[..., None]


def run(folder: Path | None, *, requests: int, seed: int, format: str | None, show: Show) -> int:
    """Run the demo and leave the store and the HTML report in `folder` (default `traceguard-demo`, made if missing).

    Prints what was planted, the report and whether it was found; with another format than text, only the report goes to
    standard output. Returns 0 where the planted cause stands at rank 1, else 1.
    """
    chosen = format or "text"
    if chosen not in FORMATS:
        raise UsageError(f"{chosen!r} is not a format of this command; it writes {', '.join(FORMATS)}.")
    place = _prepared(folder or FOLDER)
    tell = _teller(sys.stdout if chosen == "text" else sys.stderr)
    recording = _recorded(requests, seed)
    (plant,) = recording.truth.plants
    tell(f"A simulated shop of {len(recording.fleet.services)} services serves {requests:,} requests.")
    tell(f"Planted: {describe(plant)}")
    _received(recording, place / _STORE, show)
    tell(f"Received and committed over OTLP: {recording.span_count:,} spans.\n")
    analysis = _analysed(place, show)
    print(_rendered(analysis, chosen), end="")  # noqa: T201  (the result)
    found = is_first(analysis, plant)
    tell(f"\n{'Found' if found else 'NOT found'} at rank 1: {describe(plant)}")
    tell(f"HTML report: {place / _PAGE}")
    tell(f"Ask on:      traceguard blast-radius --db {place / _STORE} --service {plant.service}")
    return 0 if found else 1


def describe(plant: "Plant") -> str:
    """What was planted, as the end of a sentence."""
    flags = " and ".join(f"flag {key}={level}" for key, level in plant.flags)
    return f"under {flags}, {plant.service} {plant.operation} takes {plant.self_ms:g} ms longer."


def is_first(analysis: "Analysis", plant: "Plant") -> bool:
    """Whether the first cause names exactly the plant's flags with their levels, its service and its operation."""
    if not analysis.causes:
        return False
    first = analysis.causes[0]
    named = {(factor.kind, factor.key, factor.level) for factor in first.factors}
    planted = {("flag", key, level) for key, level in plant.flags}
    return (named, first.service, first.operation) == (planted, plant.service, plant.operation)


def _prepared(folder: Path) -> Path:
    """The demo's folder without what an earlier demo left there."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the demo with -o.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in (_STORE, f"{_STORE}.wal", _PAGE):
            (folder / left).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"The demo cannot write to {folder} ({error.strerror}); name another folder with -o."
        ) from None
    return folder


def _recorded(requests: int, seed: int) -> "Recording":
    from traceguard.simulate import generate, shop

    return generate(
        shop(), requests=requests, seed=seed, start_ns=time.time_ns() - _DURATION_NS, duration_ns=_DURATION_NS
    )


def _received(recording: "Recording", db: Path, show: Show) -> None:
    """Send the recording through the SDK to a server that owns `db`; InputError where a span was not acknowledged."""
    from traceguard.server import Server
    from traceguard.settings import Settings
    from traceguard.simulate import emit

    server = Server(db, grpc="127.0.0.1:0", http="127.0.0.1:0", settings=Settings())
    show("Starting the receiver")
    server.start()
    try:
        emit.replay(recording, server.grpc_address, server.http_address, progress=show)
    finally:
        server.stop()


def _analysed(place: Path, show: Show) -> "Analysis":
    from traceguard import pipeline
    from traceguard.report import render

    with pipeline.open(str(place / _STORE)) as store:
        analysis = pipeline.report(store, progress=show)
    (place / _PAGE).write_text(render(analysis, "html"), encoding="utf-8")
    return analysis


def _teller(stream: "TextIO") -> Callable[[str], None]:
    return lambda sentence: print(sentence, file=stream, flush=True)


def _rendered(analysis: "Analysis", format: str) -> str:
    from traceguard.report import render

    terminal = sys.stdout.isatty()
    return render(analysis, format, width=shutil.get_terminal_size().columns if terminal else 80, color=terminal)
