"""What docs/operations.md says: its commands run, its unit is one that systemd takes, its metrics and options exist."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from traceguard.server.watch.counters import Counters

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    """The page as it stands."""
    return (repository / "docs/operations.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def unit(page: str) -> str:
    """The unit for systemd."""
    return next(text for language, text in _BLOCK.findall(page) if language == "ini")


def test_its_commands_run(page: str, sample_data: Path, tmp_path: Path) -> None:
    """Every block of commands works in the order in which it is read, and a report of the same data is the same."""
    (tmp_path / "sample_data").symlink_to(sample_data)
    path = f"{Path(sys.executable).parent}:{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    for language, text in _BLOCK.findall(page):
        if language == "sh":
            done = subprocess.run(
                ["bash", "-ec", text], cwd=tmp_path, env=environment | {"PATH": path},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stderr}"
    assert (tmp_path / "backup.duckdb").exists()


def test_its_unit_starts_what_exists(unit: str, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The command line of the unit has options that `serve` knows."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    command = shlex.split(parser["Service"]["ExecStart"])
    assert command[:2] == ["/opt/traceguard/bin/traceguard", "serve"]
    known = run("serve", "--help").stdout
    options = [word for word in command if word.startswith("--")]
    assert options
    assert [option for option in options if f"{option} " not in known] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    """systemd knows every setting; only the program need not be installed where the unit says."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit, flags=re.MULTILINE)
    (tmp_path / "traceguard.service").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", tmp_path / "traceguard.service"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "traceguard.service" not in done.stderr, done.stderr


def test_its_metrics_exist(page: str) -> None:
    """Every metric that the page names is one of the server's."""
    named = set(re.findall(r"traceguard_[a-z_]+", page))
    counters = Counters()
    for gauge in ("span_lag_seconds", "store_bytes", "pending_limit_bytes", "verdict_age_seconds", "verdict"):
        counters.watch(gauge, lambda: 0.0)
    assert len(named) >= 7
    assert {name for name in named if f"# TYPE {name} " not in counters.text()} == set()
