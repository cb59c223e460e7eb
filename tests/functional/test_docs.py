"""What the pages under docs/ tell people to do: links lead somewhere, commands are ones we have, blocks of code run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from builders.live import Live

from traceguard.cli.app import app
from traceguard.server import Server
from traceguard.settings import CORRELATION_KEYS, UNIT_KEYS
from traceguard.store import queries

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# Pages whose own tests run their commands.
_RUN_ELSEWHERE = {"operations.md"}


def _name(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def _blocks(page: Path, *languages: str) -> list[str]:
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def _commands(page: Path) -> list[tuple[str, bool]]:
    """Every command line of ours on a page, and whether it stands in a block, where it must be whole."""
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"`(traceguard [^`]+)`", _BLOCK.sub("", text))
    lines = "\n".join(_blocks(page, "sh", "console", "yaml", "ini")).replace("\\\n", " ").splitlines()
    typed = [found[1] for line in lines if (found := re.search(r"(?:^|[ (/])(traceguard (?:[a-z-]+|-)[^|>&]*)", line))]
    whole = [(line.partition(" #")[0].partition(")")[0], True) for line in typed]
    return whole + [(line, False) for line in inline]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the checkout and, where it has an anchor, a heading in it."""
    for link in _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_is_in_the_index() -> None:
    """A reader who starts at docs/README.md or docs/send/README.md finds every page."""
    for index in (REPOSITORY / "docs/README.md", REPOSITORY / "docs/send/README.md"):
        linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
        assert {page for page in index.parent.glob("*.md") if page != index} <= linked
    assert "docs/README.md" in _LINK.findall((REPOSITORY / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=_name)
def test_commands_are_ones_that_we_have(page: Path) -> None:
    """The command, its options and their values parse, and a query that is named exists."""
    program = typer.main.get_command(app)
    for line, whole in _commands(page):
        words = shlex.split(line)[1:]
        if words[0] == "COMMAND" or words[0].startswith("-"):
            continue  # a stand-in, or an option of the program itself
        with program.make_context("traceguard", [*words], resilient_parsing=True) as context:
            name, command, rest = program.resolve_command(context, words)  # type: ignore[attr-defined]
            assert name is not None, line
            if not whole and not _complete(command, rest):
                continue
            with command.make_context(name, list(rest), parent=context) as parsed:
                if name == "query" and parsed.params["name"] is not None:
                    takes = {parameter.name for parameter in queries.describe(parsed.params["name"]).parameters}
                    given = {param.partition("=")[0] for param in parsed.params["param"] or ()}
                    assert given <= takes, line


def _complete(command: Any, words: list[str]) -> bool:
    """Whether all that a command needs stands there: prose also names a command, or an option, alone."""
    needed = [parameter for parameter in command.params if parameter.required]
    arguments = [parameter for parameter in needed if parameter.param_type_name == "argument"]
    options = [parameter for parameter in needed if parameter.param_type_name == "option"]
    if words and words[-1].startswith("--"):
        return False
    return len(words) >= len(arguments) and all(set(option.opts) & set(words) for option in options)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server for the pages' clients."""
    path = tmp_path_factory.mktemp("docs") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as server:
        yield Live.of(server, path)


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TRACEGUARD_", "OTEL_"))}
    return kept | {"PATH": path}


RUN_HERE = [
    page for page in (REPOSITORY / "docs").glob("*.md") if _blocks(page, "sh") and page.name not in _RUN_ELSEWHERE
]


@pytest.mark.parametrize("page", RUN_HERE, ids=_name)
def test_blocks_of_a_page_run(page: Path, sample_data: Path, tmp_path: Path) -> None:
    """What a page marks as sh or Python works in the order in which it is read, in one folder."""
    (tmp_path / "sample_data").symlink_to(sample_data)
    for language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        command = {"sh": ["bash", "-ec", text], "python": [sys.executable, "-c", text]}.get(language)
        if command is not None:
            done = subprocess.run(
                command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def _arrived(live: Live) -> None:
    """Assert that what both clients' pages send stands in the store, whole."""
    spans = live.rows(
        "SELECT operation, kind, status, version, environment, instance, attr('user.id'), attr('tenant.id')"
        " FROM distinct_spans WHERE service = 'checkout' ORDER BY operation"
    )
    who = ("1.4.0", "prod", "checkout-1")
    assert set(spans) == {
        ("POST /checkout", "server", "unset", *who, "u-1042", "t7"),
        ("charge card", "client", "error", *who, None, None),
    }
    evaluated = "SELECT DISTINCT operation, flag_key, variant, context_id FROM flag_evaluations JOIN distinct_spans"
    assert set(live.rows(f"{evaluated} USING (trace_id, span_id)")) >= {
        ("POST /checkout", "new-pricing", "on", "u-1042"),
        ("ComputeQuote", "new-pricing", "on", "u-1042"),
    }


def test_python_as_its_page_has_it(live: Live, tmp_path: Path) -> None:
    """Both programs run as they stand, but for the port, and what they send arrives."""
    hooks = REPOSITORY / ".cache" / "openfeature-0.3"
    if not (hooks / "openfeature").is_dir():
        if os.environ.get("TRACEGUARD_REQUIRE_OPENFEATURE") == "1":
            pytest.fail("OpenFeature's hook is not installed, and must be")
        pytest.skip("OpenFeature's hook is not installed")
    blocks = _blocks(REPOSITORY / "docs/send/python.md", "python")
    assert len(blocks) == 2
    for text in blocks:
        program = text.replace("127.0.0.1:4318", live.http_address)
        ran = subprocess.run(
            [sys.executable, "-c", program], env=_environment() | {"PYTHONPATH": str(hooks)}, cwd=tmp_path,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, "")
    _arrived(live)


@pytest.mark.node
def test_node_as_its_page_has_it(live: Live, node: str, node_modules: Path, tmp_path: Path) -> None:
    """Both programs run as they stand, but for the port, and what they send arrives."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    blocks = _blocks(REPOSITORY / "docs/send/node.md", "js")
    assert len(blocks) == 2
    for number, text in enumerate(blocks):
        program = tmp_path / f"{number}.mjs"
        program.write_text(text.replace("127.0.0.1:4318", live.http_address), encoding="utf-8")
        ran = subprocess.run(
            [node, program], env=_environment() | {"NODE_NO_WARNINGS": "1"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, "")
    _arrived(live)


def test_rust_reads_as_rust(tmp_path: Path) -> None:
    """What cannot be compiled for want of its crates is at least well-formed."""
    rustfmt = shutil.which("rustfmt")
    if rustfmt is None:
        pytest.skip("rustfmt is not installed")
    (block,) = _blocks(REPOSITORY / "docs/send/rust.md", "rust")
    (tmp_path / "main.rs").write_text(block, encoding="utf-8")
    done = subprocess.run(
        [rustfmt, "--edition", "2021", "--check", tmp_path / "main.rs"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_keys_that_are_read_are_documented() -> None:
    """docs/send names every attribute by which requests are told apart and found."""
    text = (REPOSITORY / "docs/send/README.md").read_text(encoding="utf-8")
    assert {key for key in (*UNIT_KEYS, *CORRELATION_KEYS) if f"`{key}`" not in text} == set()
