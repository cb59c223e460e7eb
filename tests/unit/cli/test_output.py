"""Where results go: the format that is chosen, and files that appear whole or not at all."""

from pathlib import Path

import pytest

from traceguard.cli import output
from traceguard.errors import UsageError

FORMATS = ("text", "json", "md", "html", "junit")


@pytest.mark.parametrize(
    ("wanted", "file", "chosen"),
    [
        (None, None, "text"),
        (None, "report.html", "html"),
        (None, "report.JSON", "json"),
        (None, "report.xml", "junit"),
        (None, "report", "text"),
        (None, "map.dot", "text"),
        ("md", "report.html", "md"),
    ],
)
def test_the_format_is_the_named_one_else_what_the_file_ends_with(
    wanted: str | None, file: str | None, chosen: str
) -> None:
    """`--format` wins; without it the file's ending decides where the command has such a format; text is left."""
    assert output.choose(wanted, Path(file) if file else None, FORMATS) == chosen


def test_a_format_that_the_command_has_not_is_refused() -> None:
    """The sentence lists the formats that there are."""
    with pytest.raises(UsageError, match="text, json, md, html, junit"):
        output.choose("pdf", None, FORMATS)


@pytest.mark.parametrize(("name", "reason"), [("", "is a folder"), ("missing/report.html", "does not exist")])
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str, reason: str) -> None:
    """Nobody waits for a report that has nowhere to go."""
    with pytest.raises(UsageError, match=reason):
        output.check(tmp_path / name)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """A result takes the place of an older one, readable like any new file, and leaves nothing beside it."""
    out = tmp_path / "report.json"
    out.write_text("old", encoding="utf-8")
    output.write_whole(b"new", out)
    (tmp_path / "other").touch()
    assert out.read_bytes() == b"new"
    assert out.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "report.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    """What cannot be put in its place is thrown away."""
    (tmp_path / "report.json" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"report\.json"):
        output.write_whole(b"new", tmp_path / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_text_ends_with_one_line_break(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Rendered text reaches standard output with exactly one line break at its end; bytes as they are."""
    output.deliver("a\n\n", None)
    output.deliver(b"b", Path("-"))
    assert capfdbinary.readouterr().out == b"a\nb"
