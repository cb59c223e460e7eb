"""Take the README's pictures: `make pictures`.

    python tools/pictures.py

A report's page and the live page of a server, both on `sample_data`, as a headless Chromium draws them.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
TRACEGUARD = (sys.executable, "-m", "traceguard")
_WIDTH = 1280
_PATIENCE_SECONDS = 60


def main() -> None:
    """Load the sample, draw the pages, keep their tops."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("There is no Chromium here; install it (Debian: apt-get install chromium).")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store, page = Path(folder) / "shop.duckdb", Path(folder) / "report.html"
        subprocess.run([*TRACEGUARD, "ingest", str(ROOT / "sample_data"), "--db", str(store)], check=True)
        subprocess.run([*TRACEGUARD, "report", "--db", str(store), "-o", str(page)], check=True)
        take(browser, page.as_uri(), "report.png", 1500, folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        server = subprocess.Popen(
            [*TRACEGUARD, "serve", "--db", str(store), "--http", f"127.0.0.1:{port}", "--grpc", "127.0.0.1:0"]
        )
        try:
            wait_for(f"{address}/readyz")
            take(browser, f"{address}/", "page.png", 1000, folder)
        finally:
            server.terminate()
            server.wait(_PATIENCE_SECONDS)


def wait_for(address: str) -> None:
    """Come back when the address answers."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def take(browser: str, address: str, name: str, height: int, profile: str) -> None:
    """A picture of the top of a page, once its scripts and what it fetches had five seconds."""
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}/b",
            f"--window-size={_WIDTH},{height}", "--virtual-time-budget=5000", f"--screenshot={FOLDER / name}", address,
        ],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_PATIENCE_SECONDS,
    )  # fmt: skip
    print(f"Took docs/pictures/{name}")


if __name__ == "__main__":
    main()
