"""Every notebook runs from top to bottom."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, repository: Path) -> None:
    """No cell fails, with nothing but what the checkout holds."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    command = [sys.executable, str(repository / "tools/notebooks.py"), str(notebook)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
