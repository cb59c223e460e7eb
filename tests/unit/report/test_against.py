"""A report held against an older one."""

import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from traceguard import model
from traceguard.errors import InputError, UsageError
from traceguard.report import Analysis, render
from traceguard.report.against import read_older, with_against


def changes(new: model.Report, old: model.Report) -> list[tuple[str, str]]:
    """What kind of change each cause's service went through."""
    against = with_against(new, read_older(old)).against
    assert against is not None
    return [(c.change, c.service) for c in against.causes]


def test_new_gone_changed_and_as_before(documents: ModuleType) -> None:
    """Told by factors, place and metric; changed only where the intervals are apart."""
    slower = model.Effect(estimate=140, low=130, high=150, unit="ms")
    old = documents.report(causes=[documents.cause(), documents.cause(service="cart"), documents.cause(service="gone")])
    new = documents.report(
        causes=[documents.cause(rank=4), documents.cause(service="cart", effect=slower), documents.error_cause()]
    )
    assert changes(new, old) == [("new", "payment"), ("changed", "cart"), ("gone", "gone"), ("as_before", "pricing")]


def test_intervals_that_overlap_are_no_change(documents: ModuleType) -> None:
    """They may well be the same effect."""
    near = documents.cause(effect=model.Effect(estimate=95, low=90, high=100, unit="ms"))
    assert changes(documents.report(causes=[near]), documents.report(causes=[documents.cause()])) == [
        ("as_before", "pricing")
    ]


def test_a_document_of_another_version_of_the_program_is_read(documents: ModuleType, tmp_path: Path) -> None:
    """Fields that it has more or less of, and numbers that were not finite, do not matter."""
    cause = documents.cause(effect=model.Effect(estimate=84.0, low=-math.inf, high=math.inf, unit="ms"))
    document = json.loads(render(Analysis(documents.report(causes=[cause])), "json"))
    document["news"] = 1
    del document["sampling"], document["causes"][0]["over_time"]
    file = tmp_path / "old.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    report = with_against(documents.report(), read_older(file))
    assert report.against is not None
    assert [c.change for c in report.against.causes] == ["new", "as_before"]


def test_what_is_no_report_is_refused_in_words(tmp_path: Path) -> None:
    """Missing, not JSON, another document, another schema: one sentence each, with the file's name."""
    with pytest.raises(UsageError, match=r"none\.json cannot be read"):
        read_older(tmp_path / "none.json")
    file = tmp_path / "old.json"
    for text, words in (
        ("{", "is not JSON"),
        ('{"nodes": []}', "is not a traceguard report"),
        ("[]", "not a traceguard"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=f"old.json .*{words}"):
            read_older(file)


def test_another_schema_version_is_refused(documents: ModuleType) -> None:
    """Fields may mean something else there."""
    with pytest.raises(InputError, match="schema version 99"):
        read_older(documents.report(schema_version=99))


@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_every_format_shows_it(documents: ModuleType, form: str) -> None:
    """How many are new, gone and changed, and which."""
    old = documents.report(causes=[documents.cause(service="was-here")])
    accepted = model.Accepted(until="2027-01-31", reason="OPS-12")
    new = with_against(documents.report(causes=[documents.cause(accepted=accepted)]), read_older(old))
    text = render(Analysis(new), form)
    assert "was-here" in text
    assert "OPS-12" in text
    if form == "text":
        assert max(map(len, text.splitlines())) <= 80
        assert "1 new, 1 gone" in " ".join(text.split())
