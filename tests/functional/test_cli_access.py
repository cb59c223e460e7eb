"""Tokens on the command line: who asks a server says so in the environment, and `serve` takes them and shows none."""

import http.client
import http.server
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from traceguard.server import Access, Server

Run = Callable[..., subprocess.CompletedProcess[str]]

ANY = "127.0.0.1:0"
WRITE, READ, UNKNOWN = "writers-0123456789", "readers-0123456789", "unknown-0123456789"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with tokens."""
    path = tmp_path_factory.mktemp("guarded") / "live.duckdb"
    with Server(path, ANY, ANY, access=Access.of(write=WRITE, read=READ)) as server:
        yield server


ASKING = {
    "report": ["report"],
    "graph": ["graph"],
    "query": ["query", "services"],
    "blast-radius": ["blast-radius", "--flag", "new-pricing"],
    "plan": ["plan", "--service", "pricing", "--steps", "50%"],
    "what-if": ["what-if", "--service", "pricing", "--delay", "1ms"],
    "snapshot": ["snapshot", "copy.duckdb"],
}


@pytest.mark.parametrize("arguments", ASKING.values(), ids=ASKING)
def test_commands_say_who_asks(run: Run, guarded: Server, tmp_path: Path, arguments: list[str]) -> None:
    """The token comes from the environment; what is refused for want of one is one sentence and exit code 2."""
    url = guarded.url
    for token, sentence in (
        (None, f"The server at {url} wants a token; put one that may do this into TRACEGUARD_TOKEN."),
        (UNKNOWN, f"The server at {url} does not know the token; put one that may do this"),
        (WRITE, "This token may write; use one that may read."),
        ("two\nlines", "What stands in TRACEGUARD_TOKEN is not a token"),
    ):
        done = run(*arguments, "--db", url, cwd=tmp_path, env={} if token is None else {"TRACEGUARD_TOKEN": token})
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert token is None or token not in done.stderr
        assert not list(tmp_path.iterdir())
    done = run(*arguments, "--db", url, cwd=tmp_path, env={"TRACEGUARD_TOKEN": f" {READ}\n"})
    assert "token" not in done.stderr
    # The store is empty: a known question without an answer, or an unknown name.
    assert done.returncode in ({0} if arguments[0] == "snapshot" else {5, 2}), done.stderr


def test_commands_name_a_port_without_tls(run: Run, guarded: Server) -> None:
    """Who asks a plain port over TLS is told the other scheme, and nobody puts a password into a URL."""
    done = run("query", "totals", "--db", f"https://{guarded.http_address}")
    assert (done.returncode, "or speak no TLS (http://)" in done.stderr) == (2, True), done.stderr
    done = run("query", "totals", "--db", f"http://me:{READ}@{guarded.http_address}")
    assert (done.returncode, "TRACEGUARD_TOKEN" in done.stderr, READ in done.stderr) == (2, True, False)


def test_a_token_does_not_follow_a_redirect(run: Run) -> None:
    """A server that points elsewhere is an error, and nobody else is asked."""
    asked: list[tuple[str, str | None]] = []

    class Pointing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing to print."""

    with http.server.HTTPServer(("127.0.0.1", 0), Pointing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        done = run("query", "totals", "--db", url, env={"TRACEGUARD_TOKEN": READ})
        server.shutdown()
        thread.join()
    assert (done.returncode, "points elsewhere (status 307)" in done.stderr) == (2, True)
    assert asked == [(asked[0][0], f"Bearer {READ}")]
    assert asked[0][0].startswith("/api/query/totals")


def test_serve_takes_tokens_from_files_and_the_environment(tmp_path: Path) -> None:
    """It says what protects it, shows no token, and lets in who has one."""
    file = tmp_path / "writers"
    file.write_text(f"{WRITE}\n")
    command = [
        sys.executable, "-m", "traceguard", "serve", "--db", tmp_path / "live.duckdb", "--grpc", ANY, "--http", ANY,
        "--write-token-file", file,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={"TRACEGUARD_READ_TOKEN": READ, "PATH": ""}
    ) as process:
        assert process.stderr is not None
        printed = ""
        for line in process.stderr:
            printed += line
            if "needs a token" in line:
                break
        address = re.search(r"OTLP/HTTP on (\S+)\.", printed)
        assert address is not None, printed
        with closing(http.client.HTTPConnection(address[1], timeout=20)) as connection:
            connection.request("GET", "/api/query", headers={"Authorization": f"Bearer {READ}"})
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        printed += process.stderr.read()
    assert "(known: 1 to write, 1 to read, none to administer)" in printed
    assert process.returncode == 0
    assert WRITE not in printed
    assert READ not in printed


@pytest.mark.parametrize(
    ("arguments", "env", "sentence"),
    [
        (["--http", "0.0.0.0:0"], {}, "can be reached from other machines; set tokens"),
        ([], {"TRACEGUARD_WRITE_TOKEN": "short"}, "TRACEGUARD_WRITE_TOKEN: a token has 16 characters or more"),
        ([], {"TRACEGUARD_WRITE_TOKEN": WRITE}, "There is no token to read"),
        (["--read-token-file", "absent"], {}, "The token file absent cannot be read"),
        (["--tls-cert", "absent"], {}, "--tls-key FILE"),
        (["--tls-cert", "absent", "--tls-key", "absent"], {}, "The certificate absent cannot be read"),
        ([], {"TRACEGUARD_TLS_CERT": "absent", "TRACEGUARD_TLS_KEY": "absent"}, "The certificate absent cannot be"),
    ],
)
def test_serve_refuses_in_one_sentence(
    run: Run, tmp_path: Path, arguments: list[str], env: dict[str, str], sentence: str
) -> None:
    """What cannot protect is told before the store is made."""
    done = run("serve", "--db", tmp_path / "live.duckdb", "--grpc", ANY, "--http", ANY, *arguments, env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())
