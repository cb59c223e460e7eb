"""A report as JUnit XML."""

from types import ModuleType
from xml.etree import ElementTree as ET

from traceguard.report import Analysis, render


def _parsed(result: Analysis) -> ET.Element:
    return ET.fromstring(render(result, "junit"))  # noqa: S314  (our own output)


def test_one_case_per_entry_and_metric(documents: ModuleType) -> None:
    """A suite an entry point, a case a metric, one more for the verdict."""
    root = _parsed(Analysis(documents.report()))
    cases = {(case.get("classname"), case.get("name")) for case in root.iter("testcase")}
    assert cases == {
        ("traceguard", "verdict"), ("POST /checkout of frontend", "mean latency"),
        ("POST /checkout of frontend", "p95 latency"),
        ("POST /checkout of frontend", "error rate"), ("GET /cart of frontend", "mean latency"),
    }  # fmt: skip
    assert root.get("tests") == "5"
    assert root.get("failures") == str(len(list(root.iter("failure")))) == "5"


def test_an_entry_point_that_was_judged_has_all_its_cases(documents: ModuleType) -> None:
    """Also where nothing got worse, so that a list of tests keeps its length."""
    judged = [
        documents.model.JudgedEntry(entry=documents.entry(operation=operation), requests=500)
        for operation in ("POST /checkout", "GET /cart", "GET /")
    ]
    root = _parsed(Analysis(documents.report(judged=judged)))
    by_entry = {suite.get("name"): len(list(suite.iter("testcase"))) for suite in root.iter("testsuite")}
    assert by_entry == {
        "traceguard": 1, "POST /checkout of frontend": 5, "GET /cart of frontend": 5, "GET / of frontend": 5,
    }  # fmt: skip
    calm = root.find(".//testsuite[@name='GET / of frontend']")
    assert calm is not None
    assert (calm.get("failures"), calm.get("skipped")) == ("0", "0")


def test_what_is_accepted_is_skipped(documents: ModuleType) -> None:
    """A known cause does not fail a build: its cases and the verdict say that it is accepted."""
    accepted = documents.model.Accepted(until="2027-01-31", reason="OPS-12")
    entries = [documents.cause().entries[0]]
    causes = [
        documents.cause(accepted=accepted), documents.error_cause(accepted=accepted, entries=entries),
    ]  # fmt: skip
    root = _parsed(Analysis(documents.report(causes=causes)))
    assert root.get("failures") == "0"
    verdict = root.find(".//testcase[@name='verdict']/skipped")
    assert verdict is not None
    assert str(verdict.get("message")).startswith("Accepted: ")
    half = _parsed(Analysis(documents.report(causes=[documents.cause(accepted=accepted), documents.error_cause()])))
    assert half.find(".//testcase[@name='verdict']/failure") is not None
    assert half.find(".//testcase[@name='error rate']/failure") is not None
    assert half.find(".//testcase[@name='p95 latency']/skipped") is not None


def test_the_verdict_fails_with_the_sentence_and_the_causes(documents: ModuleType) -> None:
    """A build server's list says what happened without opening anything."""
    failure = _parsed(Analysis(documents.report())).find(".//testcase[@name='verdict']/failure")
    assert failure is not None
    assert "92.3 ms slower" in str(failure.get("message"))
    assert "1. pricing ComputeQuote under new-pricing=on" in str(failure.text)


def test_a_quiet_report_passes(documents: ModuleType) -> None:
    """No regression: one passing case."""
    root = _parsed(Analysis(documents.quiet_report()))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("1", "0", "0")


def test_inconclusive_and_no_data_are_skipped(documents: ModuleType) -> None:
    """Neither passed nor failed."""
    for verdict in ("inconclusive", "no_data"):
        root = _parsed(Analysis(documents.quiet_report(verdict)))
        assert (root.get("failures"), root.get("skipped")) == ("0", "1")


def test_what_does_not_hold_at_alpha_does_not_fail(documents: ModuleType) -> None:
    """A regression listed with a large p is shown, not failed."""
    report = documents.quiet_report("inconclusive", regressions=[documents.regression(p_adjusted=0.4)])
    root = _parsed(Analysis(report))
    assert root.find(".//failure") is None
    assert "96.4 ms expected" in str(root.findtext(".//testcase[@name='mean latency']/system-out"))


def test_names_stay_text_and_valid_xml(documents: ModuleType) -> None:
    """Markup and characters that XML forbids do not break the document."""
    hostile = 'a"b<failure \x00\x1b]]>&\ud800'
    report = documents.report(
        regressions=[documents.regression(entry=documents.entry(hostile))], causes=[documents.cause(summary=hostile)]
    )
    root = _parsed(Analysis(report))
    assert any('a"b<failure' in str(suite.get("name")) for suite in root)
