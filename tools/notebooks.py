"""Run the notebooks from top to bottom; with --write, keep what they show.

    python tools/notebooks.py [--write] [NOTEBOOK...]

A notebook runs in its own folder with this Python. Kept outputs hold no times and no paths, so that a run changes a
file only where what it shows changed.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
_SECONDS_A_CELL = 300


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, run; CellExecutionError names the cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=_SECONDS_A_CELL, kernel_name="python3", resources=resources, record_timing=False
    )
    return client.execute()


def main(arguments: list[str]) -> None:
    """Run the named notebooks, or all."""
    write = "--write" in arguments
    named = [Path(argument) for argument in arguments if argument != "--write"]
    for path in named or sorted(FOLDER.glob("*.ipynb")):
        notebook = run(path)
        notebook.metadata["language_info"] = {"name": "python"}
        if write:
            nbformat.write(notebook, path)
        sys.stderr.write(f"{path.name}: ran\n")


if __name__ == "__main__":
    main(sys.argv[1:])
