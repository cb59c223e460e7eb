"""Take the README's pictures: `make pictures`.

    python tools/pictures.py

A report's page and the live page of a server, both on `sample_data`, as a headless Chromium draws them.
"""

import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from builders.browser import Page, browser

from traceguard.server import Server

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
TRACEGUARD = (sys.executable, "-m", "traceguard")
_WIDTH = 1280
_READY = """!document.querySelector("[aria-busy=true], [data-state=busy], [data-graph]:not([data-state])") &&
  ![...document.querySelectorAll("[data-chart]:not(.drawn)")].some(chart => !chart.closest("details:not([open])"))"""
_SETTLED = "new Promise(done => setTimeout(done, 400, 0))"  # what moves has come to rest


def main() -> None:
    """Load the sample, draw the pages, keep their tops."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium here; install it (Debian: apt-get install chromium).")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        store, report = folder / "shop.duckdb", folder / "report.html"
        subprocess.run([*TRACEGUARD, "ingest", str(ROOT / "sample_data"), "--db", str(store)], check=True)
        subprocess.run([*TRACEGUARD, "report", "--db", str(store), "-o", str(report)], check=True)
        with browser(chromium, folder) as running, Server(store, "127.0.0.1:0", "127.0.0.1:0") as server:
            page = running.page()
            page.media()
            take(page, report.as_uri(), "report.png", 1500)
            take(page, f"{server.url}/", "page.png", 1000)
            take(page, f"{server.url}/map#pricing", "map.png", 900)


def take(page: Page, address: str, name: str, height: int) -> None:
    """A picture of the top of a page, once everything on it is drawn."""
    page.size(_WIDTH, height)
    page.open(address)
    page.wait(_READY)
    page.run(_SETTLED)
    taken = page.command("Page.captureScreenshot", format="png")["data"]
    (FOLDER / name).write_bytes(base64.b64decode(taken))
    print(f"Took docs/pictures/{name}")


if __name__ == "__main__":
    main()
