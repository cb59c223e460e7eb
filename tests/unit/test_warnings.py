"""Every warning that the program can give has its section in docs/warnings.md, and no section is left without one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import traceguard

_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
_PACKAGE = Path(traceguard.__file__).parent
_PAGE = _PACKAGE.parent / "docs" / "warnings.md"
_ROOMS = ("explain", "radius", "rollout", "graph", "engine")  # warnings are values here


def codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes that a module yields or returns with a sentence, or puts into a warning itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            found = node.value
        elif isinstance(node, ast.Yield | ast.Return) and isinstance(node.value, ast.Tuple) and node.value.elts:
            found = node.value.elts[0]
        else:
            continue
        if isinstance(found, ast.Constant) and isinstance(found.value, str) and _CODE.fullmatch(found.value):
            yield found.value


def emitted() -> set[str]:
    """All codes of the program."""
    files = [file for room in _ROOMS for file in (_PACKAGE / room).rglob("*.py")]
    return {code for file in files for code in codes_in(ast.parse(file.read_text(encoding="utf-8")))}


def sections() -> dict[str, str]:
    """The page's sections by their heading."""
    parts = re.split(r"^### `(.+)`\n", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_codes_are_found_however_they_are_given() -> None:
    """Yielded, returned, or named in a warning; other tuples and texts are none."""
    text = """
def caveats():
    yield "few_units", "Too few."
    yield ("few_blocks", ("Too little."))
    yield "not a code", "x"
def one():
    return "no_data", f"{1}"
def other():
    return Warning(code="clock_skew", message="x")
pair = ("of_no", "interest")
"""
    assert set(codes_in(ast.parse(text))) == {"few_units", "few_blocks", "no_data", "clock_skew"}


def test_every_warning_has_a_section_and_every_section_a_warning() -> None:
    """A report names the code; the page says what to do about it."""
    assert set(sections()) == emitted()


def test_every_section_says_what_to_do() -> None:
    """What it means, why it matters, what to do: three paragraphs."""
    for code, text in sections().items():
        body = text.split("\n## ")[0]
        starts = [paragraph.split("**")[1] for paragraph in body.strip().split("\n\n") if paragraph.startswith("**")]
        assert starts == ["Means.", "Matters.", "Do."], code
