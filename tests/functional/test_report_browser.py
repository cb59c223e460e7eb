"""The HTML report in a real browser: it draws its charts under its own policy, without a network."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from traceguard.report import Analysis, render
from traceguard.report.page import PageData, overview

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def documents(repository: Path) -> ModuleType:
    """The unit tests' documents."""
    spec = importlib.util.spec_from_file_location("report_documents", repository / "tests/unit/report/documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(chromium: str, folder: Path, source: str) -> tuple[str, str]:
    """The page's elements after its scripts ran, and what the browser complained about."""
    file = folder / "page.html"
    file.write_text(source, encoding="utf-8")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
        "--virtual-time-budget=5000", f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.split("\n") if "CONSOLE" in line)


def test_the_report_draws_its_charts_under_its_policy(chromium: str, documents: ModuleType, tmp_path: Path) -> None:
    """Every chart becomes an SVG, nothing violates the policy, nothing is fetched."""
    source = render(Analysis(documents.report(), documents.graph()), "html")
    elements, complaints = opened(chromium, tmp_path, source)
    assert complaints == ""
    assert (
        len(
            re.findall(r'data-chart="chart-\d+"[^>]*class="[^"]*drawn|class="[^"]*drawn[^"]*"[^>]*data-chart', elements)
        )
        == 2
    )
    assert elements.count("share of requests") >= 2
    assert 'class="map"' in elements


def test_a_hostile_name_runs_nothing(chromium: str, documents: ModuleType, tmp_path: Path) -> None:
    """A script in a service's name stays text in the page and in the data of its charts."""
    name = "</script><script>document.title='owned'</script>"
    regression = documents.regression(entry=documents.entry(name, name), distribution=documents.histogram())
    report = documents.report(regressions=[regression], causes=[documents.cause(service=name, summary=name)])
    elements, complaints = opened(chromium, tmp_path, render(Analysis(report), "html"))
    assert complaints == ""
    assert "<title>owned" not in elements
    assert "drawn" in elements


def test_the_live_page_needs_no_script(chromium: str, documents: ModuleType, tmp_path: Path) -> None:
    """The overview opens without a complaint."""
    page = overview(PageData(spans=10, graph=documents.graph(), analysis=Analysis(documents.report())))
    elements, complaints = opened(chromium, tmp_path, page)
    assert complaints == ""
    assert "Blast radius" in elements
