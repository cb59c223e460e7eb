"""`traceguard demo` finds what it planted, with real exporters and a real receiver in between."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Done = subprocess.CompletedProcess[str]
    Run = Callable[..., Done]


@pytest.fixture(scope="module")
def demo(run: "Run", tmp_path_factory: pytest.TempPathFactory) -> "tuple[Done, Path]":
    """The demo as a newcomer runs it, and the folder it leaves."""
    folder = tmp_path_factory.mktemp("demo")
    return run("demo", "-o", folder), folder


def test_the_planted_cause_is_at_rank_one(demo: "tuple[Done, Path]") -> None:
    """The demo says what it planted, finds it, and ends with 0."""
    done, _ = demo
    assert done.returncode == 0, done.stderr
    assert "new-pricing=on" in done.stdout
    assert "Found at rank 1" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_page_and_the_store_are_left_for_the_reader(demo: "tuple[Done, Path]", run: "Run") -> None:
    """The HTML report names the cause, and the store answers further questions with every span once."""
    done, folder = demo
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "ComputeQuote" in page
    assert "new-pricing" in page
    asked = run("report", "--db", folder / "shop.duckdb", "--format", "json")
    assert asked.returncode == 0, asked.stderr
    report = json.loads(asked.stdout)
    (first, *_) = report["causes"]
    assert (first["service"], first["operation"], first["locus"]) == ("pricing", "ComputeQuote", "self")
    assert [(factor["key"], factor["level"]) for factor in first["factors"]] == [("new-pricing", "on")]
    assert first["effect"]["estimate"] == pytest.approx(
        60.0, abs=12.0
    )  # the parallel calls at the front hide a little of it
    assert report["window"]["traces"] == 3000


def test_another_day_at_the_shop_is_found_too(run: "Run", tmp_path: Path) -> None:
    """The demo does not rest on one lucky seed, and a smaller one answers in JSON alone."""
    done = run("demo", "-o", tmp_path, "--requests", "1500", "--seed", "23", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["causes"][0]["service"] == "pricing"
