"""A real browser at a server's door: people get in with a token, pages of other sites do not."""

import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from traceguard.server import Access, Server

pytestmark = pytest.mark.browser

ANY = "127.0.0.1:0"
READ = "readers-0123456789"

# Sends a form, as any page may, and goes where the answer is.
FORM = (
    '<form method="post" action="%s"><input name="unit" value="u1"></form><script>document.forms[0].submit()</script>'
)

# Tries to read and to write with scripts; the title tells what came of it.
SCRIPT = """<script>
const tries = [
  fetch("%(url)s/api/query"),
  fetch("%(url)s/v1/traces", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}),
  fetch("%(url)s/v1/traces", {method: "POST", mode: "no-cors", body: new Blob(["{}"])}),
];
Promise.allSettled(tries).then(ended => { document.title = ended.map(one => one.value?.type ?? "failed").join(); });
</script>"""


@contextmanager
def _site(page: str) -> Iterator[str]:
    """The URL of a web site with one page, which is another site than the server's."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing to print."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def _opened(chromium: str, folder: Path, url: str) -> str:
    """What the browser shows at the end, as HTML."""
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--virtual-time-budget=5000", f"--user-data-dir={folder / 'profile'}", "--dump-dom", url,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_people_open_the_page_with_the_token_as_the_password(chromium: str, tmp_path: Path) -> None:
    """The browser asks as the server wants it, and the page it gets is the overview."""
    access = Access.of(write="writers-0123456789", read=READ)
    with Server(tmp_path / "live.duckdb", ANY, ANY, access=access) as server:
        assert "Waiting for spans" in _opened(chromium, tmp_path, f"http://me:{READ}@{server.http_address}/")
        assert "Waiting for spans" not in _opened(chromium, tmp_path, f"http://me:wrong@{server.http_address}/")


def test_pages_of_other_sites_neither_read_nor_write(chromium: str, tmp_path: Path) -> None:
    """Where no token is needed, a visitor's browser must still not lend itself to another site."""
    with Server(tmp_path / "live.duckdb", ANY, ANY) as server:
        with _site(FORM % f"{server.url}/api/forget") as evil:
            shown = _opened(chromium, tmp_path, evil)
        assert "comes from another web site" in shown
        with _site(SCRIPT % {"url": server.url}) as evil:
            shown = _opened(chromium, tmp_path, evil)
        assert "<title>failed,failed,failed</title>" in shown
        # The last one was sent, but not as OTLP: no page may name OTLP's content types to another site.
        counted = httpx.get(f"{server.url}/metrics", trust_env=False).text
        assert 'traceguard_requests_refused_total{reason="unsupported"} 1' in counted
