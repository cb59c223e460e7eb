"""The Python face of the package: its names are functions, whichever rooms were imported before or after."""

import subprocess
import sys

import pytest

import traceguard as tg
from traceguard import pipeline

FUNCTIONS = ["blast_radius", "graph", "graph_diff", "hold", "ingest", "open", "plan", "query", "report", "snapshot",
             "what_if"]  # fmt: skip


def test_the_public_names_are_exactly_these() -> None:
    """`__all__` holds the functions of the interface and the version."""
    assert sorted(tg.__all__) == sorted([*FUNCTIONS, "__version__"])
    assert set(tg.__all__) <= set(dir(tg))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_name_is_the_function_of_the_pipeline(name: str) -> None:
    """Every public name is the pipeline's function of that name."""
    assert getattr(tg, name) is getattr(pipeline, name)


@pytest.mark.parametrize("room", ["report", "graph"])
@pytest.mark.parametrize("first", ["room", "function"])
def test_a_room_does_not_shadow_a_function(room: str, first: str) -> None:
    """`tg.report` stays callable before and after `traceguard.report` was imported, whose contents stay importable."""
    lines = [f"import traceguard.{room}", f"assert callable(tg.{room})"]
    script = [
        "import traceguard as tg",
        *(lines if first == "room" else reversed(lines)),
        *lines,
        f"from traceguard import {room}",
    ]
    script += [f"assert callable({room})", "from traceguard.report import render", "assert callable(render)"]
    subprocess.run([sys.executable, "-c", "\n".join(script)], check=True)


def test_a_public_function_cannot_be_replaced() -> None:
    """Assigning to a public function is refused, since it would be lost silently."""
    with pytest.raises(AttributeError, match="cannot be replaced"):
        tg.report = None  # type: ignore[assignment]


def test_the_version_is_the_installed_one() -> None:
    """The version is read from the installed package."""
    from importlib.metadata import version

    assert tg.__version__ == version("traceguard")
