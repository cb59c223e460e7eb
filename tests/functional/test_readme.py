"""Every command of README.md runs as it stands there, in a copy of the checkout, from top to bottom."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LISTENING = re.compile(r"OTLP/gRPC on (\S+), OTLP/HTTP on (\S+)\.")
# Settings that would change what a reader's commands do; `make test` itself leaves some for the makes below it.
_FOREIGN = ("TRACEGUARD_", "OTEL_", "PIP_", "MAKE", "MFLAGS")
# What the command promises to end with, where it is not 0.
_ENDS_WITH = {"--fail-on-regression": 3}


@dataclass
class Reader:
    """Somebody who types what the README says: one folder, one environment, and perhaps a server in the background."""

    folder: Path
    environment: dict[str, str]
    addresses: dict[str, str] = field(default_factory=dict)
    server: "subprocess.Popen[str] | None" = None
    printed: dict[str, str] = field(default_factory=dict)

    def follow(self, language: str, text: str) -> None:
        """Do what a block says; text and configuration are only read."""
        for default, real in self.addresses.items():
            text = text.replace(default, real)
        if language == "console":
            for line in text.splitlines():
                assert line.startswith("$ "), f"a console block holds commands only: {line}"
                self._type(line.removeprefix("$ "))
        elif language == "sh":
            self._run(["bash", "-e", "-c", text], 0)
        elif language == "python":
            self._run([str(self.folder / ".venv/bin/python"), "-c", text], 0)

    def _type(self, command: str) -> None:
        if command.startswith("traceguard serve"):
            self._serve(command)
        else:
            expected = next((code for option, code in _ENDS_WITH.items() if option in command), 0)
            self.printed[command] = self._run(["bash", "-c", command], expected)

    def _run(self, command: list[str], expected: int) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == expected, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, command: str) -> None:
        """Start the server, on ports that are free, and note where it really listens."""
        free = f"exec {command} --grpc 127.0.0.1:0 --http 127.0.0.1:0"
        self.server = subprocess.Popen(
            ["bash", "-c", free], cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, text=True
        )
        assert self.server.stderr is not None
        said = ""
        for line in self.server.stderr:
            said += line
            if found := _LISTENING.search(said):
                self.addresses = {"127.0.0.1:4317": found[1], "127.0.0.1:4318": found[2]}
                return
        pytest.fail(f"the server did not start: {said}")

    def leave(self) -> None:
        """Stop the server, if one was started."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(timeout=60) == 0


@pytest.fixture
def reader(repository: Path, borrow: Callable[[Path], Path], tmp_path: Path) -> Iterator[Reader]:
    """A reader with a copy of the checkout, whose environment was set up beforehand with this one's packages."""
    checkout = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, checkout / name)
    programs = borrow(checkout / ".venv")
    (programs / "pip").write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n', encoding="utf-8")
    (programs / "pip").chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        # Everything that traceguard needs is there already; `pip install .` builds and installs traceguard alone.
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one backwards: 0 switches isolation off
    }
    install = [str(programs / "pip"), "install", "--quiet", "."]
    subprocess.run(install, cwd=checkout, env=environment, check=True)
    later = time.time() + 60
    for stamp in (".runs", ".develops"):
        (checkout / ".venv" / stamp).touch()
        os.utime(checkout / ".venv" / stamp, (later, later))
    reader = Reader(checkout, environment)
    yield reader
    reader.leave()


def test_every_command_of_the_readme_runs(reader: Reader, repository: Path) -> None:
    """What the README tells people to type works, in the order in which they read it, and the demo looks as shown."""
    blocks = _BLOCK.findall((repository / "README.md").read_text(encoding="utf-8"))
    assert {"console", "python", "sh"} <= {language for language, _ in blocks}
    for language, text in blocks:
        reader.follow(language, text)
    shown = next(text for language, text in blocks if language == "text")
    assert _without_numbers(reader.printed["make demo"]) == _without_numbers(shown), "it changed: run `make readme`"
    assert (reader.folder / "out/demo/report.html").stat().st_size > 10_000
    assert (reader.folder / "copy.duckdb").exists()


def _without_numbers(text: str) -> str:
    """A report's words: times differ between runs, last digits between machines, and with them where lines break."""
    text = re.sub(r"[\d.,]+", "0", " ".join(re.sub("─+", "─", text).split()))
    # A window over midnight names both days.
    return text.replace("to 0-0-0 0:0:0 UTC", "to 0:0:0 UTC")


def test_no_command_hides_in_the_prose(repository: Path) -> None:
    """A command line of several words stands in a block, where it is run, and not between the lines."""
    prose = _BLOCK.sub("", (repository / "README.md").read_text(encoding="utf-8"))
    assert [code for code in re.findall(r"`(traceguard [^`]+)`", prose) if code != "traceguard COMMAND --help"] == []
