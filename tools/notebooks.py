"""Run the notebooks from top to bottom; with --write, keep what they show.

    python tools/notebooks.py [--write] [NOTEBOOK...]

A notebook runs in its own folder with this Python. Kept outputs hold no times and no paths, so that a run changes a
file only where what it shows changed.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
_SECONDS_A_CELL = 300
_CHART_ID = re.compile(r"altair-viz-[0-9a-f]{8,}")


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`, run; CellExecutionError names the cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=_SECONDS_A_CELL, kernel_name="python3", resources=resources, record_timing=False
    )
    return client.execute()


def without_chance(notebook: nbformat.NotebookNode) -> None:
    """Number the charts where Altair gave them names by chance."""
    charts = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get("text/html", "")
            if _CHART_ID.search(page):
                charts += 1
                output.data["text/html"] = _CHART_ID.sub(f"altair-viz-{charts}", page)


def main(arguments: list[str]) -> None:
    """Run the named notebooks, or all."""
    write = "--write" in arguments
    named = [Path(argument) for argument in arguments if argument != "--write"]
    for path in named or sorted(FOLDER.glob("*.ipynb")):
        notebook = run(path)
        notebook.metadata["language_info"] = {"name": "python"}
        without_chance(notebook)
        if write:
            nbformat.write(notebook, path)
        sys.stderr.write(f"{path.name}: ran\n")


if __name__ == "__main__":
    main(sys.argv[1:])
