"""The command `notebook`: the notebooks that ship, laid into a folder and opened against a store.

The store reaches them through `TRACEGUARD_DB`, which every notebook reads first. Copies hold no outputs: those of the
project's own recording would stand beside somebody else's data.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from traceguard.cli import exits
from traceguard.cli.answer import opened
from traceguard.cli.output import write_whole
from traceguard.errors import UsageError
from traceguard.store import remote

_SERVERS = ("jupyterlab", "notebook")
_SNAPSHOT = "snapshot.duckdb"


def folder() -> Path:
    """Where the notebooks lie: inside the installed package, in a checkout beside it."""
    packaged = Path(__file__).parents[1] / "notebooks"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "notebooks"


def run(db: str, into: Path, existing: str | None, *, start: bool) -> int:
    """Copy the notebooks `into` a folder and open them there; with `start` false, say how to.

    Does not return where Jupyter takes over this process. UsageError where it is not installed, where notebooks of
    these names lie in the folder already and `existing` does not say what becomes of them, and for a store that cannot
    be opened.
    """
    if existing not in {None, "keep", "replace"}:
        raise UsageError(f"--existing {existing!r} is neither keep nor replace.")
    server = next((name for name in _SERVERS if find_spec(name)), None)
    if start and server is None:
        raise UsageError(
            "Jupyter is not installed; traceguard's extra brings it, in a checkout: pip install '.[notebook]'."
            " With --no-start the notebooks are only copied."
        )
    names = _names(into, existing)
    try:
        store = _store(db, into)
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            write_whole(_without_outputs(folder() / name), into / name)
    except OSError as error:
        raise UsageError(f"{into} cannot be written ({error.strerror}); name another --folder.") from None
    exits.say(f"Notebooks lie in {into}.")
    if start and server is not None:
        os.execve(  # noqa: S606  (this Python with a module that was found in it; Ctrl-C then goes to Jupyter alone)
            sys.executable,
            [sys.executable, "-m", server, f"--notebook-dir={into.absolute()}"],
            os.environ | {"TRACEGUARD_DB": store},
        )
    exits.say(f"Open them where TRACEGUARD_DB={store} is set.")
    return exits.SUCCESS


def _names(into: Path, existing: str | None) -> list[str]:
    """The notebooks to write into the folder."""
    ours = sorted(file.name for file in folder().glob("*.ipynb"))
    there = [name for name in ours if (into / name).exists()]
    if there and existing is None:
        raise UsageError(
            f"{into} already holds {there[0]}; open what is there with --existing keep, write it anew with"
            " --existing replace, or name another --folder."
        )
    return [name for name in ours if existing == "replace" or name not in there]


def _without_outputs(notebook: Path) -> bytes:
    """The notebook as it is before it was run."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _store(db: str, into: Path) -> str:
    """What notebooks open: a file's full path; of a server a snapshot in the folder, which SQL can read, too."""
    from traceguard import pipeline

    with opened(db) as store:
        if not remote.is_url(db):
            return str(Path(db).absolute())
        snapshot = into / _SNAPSHOT
        into.mkdir(parents=True, exist_ok=True)
        snapshot.unlink(missing_ok=True)
        pipeline.snapshot(store, snapshot)
        return str(snapshot.absolute())
