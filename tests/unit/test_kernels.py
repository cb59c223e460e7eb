"""Where compiled loops are kept: in the user's cache folder, or where that cannot be written, safely elsewhere."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from traceguard import kernels

if sys.platform == "win32":
    pytest.skip("folders for temporary files belong to one user there", allow_module_level=True)

_ASK = "import os, traceguard.kernels; print(os.environ['NUMBA_CACHE_DIR'])"


def _folder(cache: Path, temporary: Path) -> Path:
    """Where a new process would keep its loops."""
    known = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    told = subprocess.run(
        [sys.executable, "-c", _ASK], env=known | {"XDG_CACHE_HOME": str(cache), "TMPDIR": str(temporary)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Path(told.stdout.strip())


@pytest.fixture
def no_cache(tmp_path: Path) -> Path:
    """A cache folder that nobody can make, not even root: a file is in its way."""
    (tmp_path / "file").touch()
    return tmp_path / "file"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """An empty folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_the_cache_folder_of_the_user_comes_first(tmp_path: Path, temporary: Path) -> None:
    """Nothing is left elsewhere."""
    assert _folder(tmp_path / "cache", temporary) == tmp_path / "cache" / "traceguard" / "kernels"
    assert list(temporary.iterdir()) == []


def test_without_a_cache_folder_all_processes_share_one_that_is_private(no_cache: Path, temporary: Path) -> None:
    """The second process finds what the first has compiled, and nobody else can put anything there."""
    first, second = _folder(no_cache, temporary), _folder(no_cache, temporary)
    assert first == second == temporary / f"traceguard-kernels-{os.getuid()}"
    assert first.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == [first]


def test_a_folder_that_others_can_write_is_not_trusted(no_cache: Path, temporary: Path) -> None:
    """What lies there would be run: a link or an open folder of that name is left alone."""
    shared = temporary / f"traceguard-kernels-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    assert _folder(no_cache, temporary) != shared
    shared.rmdir()
    (temporary / "elsewhere").mkdir(mode=0o700)
    shared.symlink_to(temporary / "elsewhere")
    assert _folder(no_cache, temporary) != shared
    assert list((temporary / "elsewhere").iterdir()) == []


def test_what_has_no_loops_is_never_compiled_ahead() -> None:
    """A room without loops has no cache and wants none; a room with loops is cold until its loops were compiled."""
    assert not kernels._cold("traceguard.report.pages")
    assert not kernels._cold("traceguard.explain")
    importlib.import_module("traceguard.otlp.request")
    assert not kernels._cold("traceguard.otlp.request")


def test_a_room_is_cold_until_a_loop_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing small functions that compile when they are first called makes the cache's folder, but fills it not."""
    monkeypatch.setitem(os.environ, "NUMBA_CACHE_DIR", str(tmp_path))
    kernels._room_cache.cache_clear()
    folder = Path(kernels._room_cache(Path(kernels.__file__).parent / "otlp")) / "made"
    folder.mkdir(parents=True)
    assert kernels._cold("traceguard.otlp.request")
    (folder / "spans.fill-1.py311.nbi").touch()
    assert not kernels._cold("traceguard.otlp.request")
    kernels._room_cache.cache_clear()
