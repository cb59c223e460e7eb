"""Objectives as users write them, and as OpenSLO files hold them."""

from fractions import Fraction
from pathlib import Path

import pytest

from traceguard import model
from traceguard.errors import InputError, UsageError
from traceguard.radius import openslo
from traceguard.radius.objective import parse_objective, parse_objectives

DAY_NS = 86_400_000_000_000
FILE = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout-latency
  annotations: {traceguard/entry: POST /checkout}
spec:
  service: frontend
  indicator:
    spec:
      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: whatever}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {op: lte, value: 0.8, target: 0.99}
    - {op: lt, value: 2, targetPercent: 99.9}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: fine}
spec: {ratioMetric: {good: {}, total: {}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: frontend
  indicatorRef: fine
  objectives: [{target: 0.995}]
"""


@pytest.mark.parametrize(
    ("text", "metric", "limit", "target", "entry"),
    [
        ("p99<800ms", "latency", 8e8, "0.99", None), ("p99.9 < 2s", "latency", 2e9, "0.999", None),
        ("latency<800ms for 99.5%", "latency", 8e8, "0.995", None), ("mean<300ms", "mean", 3e8, None, None),
        ("error_rate<1%", "error_rate", 0.01, "0.99", None), ("error_rate<0.005", "error_rate", 0.005, "0.995", None),
        ("POST /checkout: p95<1s", "latency", 1e9, "0.95", "POST /checkout"),
        ("shop.Cart:Add: mean<1ms", "mean", 1e6, None, "shop.Cart:Add"),
    ],
)  # fmt: skip
def test_objectives_are_read(text: str, metric: str, limit: float, target: str | None, entry: str | None) -> None:
    """A quantile says for how many requests; an error rate says how many may fail."""
    found = parse_objective(text)
    wanted = None if target is None else Fraction(target)
    assert (found.metric, found.limit, found.target, found.entry) == (metric, limit, wanted, entry)


def test_a_window_is_what_the_budget_is_for() -> None:
    """It is read in days, hours and minutes."""
    assert parse_objective("latency<800ms for 99% in 28d").window_ns == 28 * DAY_NS
    assert parse_objective("error_rate<1% in 12h").window_ns == DAY_NS // 2


def test_an_entry_is_named_by_operation_service_or_both() -> None:
    """Without a name an objective concerns all."""
    entry = model.Entry(service="frontend", operation="GET /")
    for name, concerned in (("GET /", True), ("frontend", True), ("frontend GET /", True), ("GET /cart", False)):
        assert parse_objective(f"{name}: p99<1s").concerns(entry) is concerned
    assert parse_objective("p99<1s").concerns(entry)


@pytest.mark.parametrize(
    "text",
    [
        "p99>800ms", "p99<800", "p100<1s", "p0<1s", "latency<800ms", "latency<800ms for 100%", "mean<1s for 99%",
        "mean<1s in 28d", "error_rate<1ms", "error_rate<150%", "error_rate<1% for 99%", "p99<1s for 99%", "p99<-1ms",
        "p99<0ms", "p99<1s in 0d", "fast", "",
    ],
)  # fmt: skip
def test_what_is_no_objective_is_refused_in_a_sentence(text: str) -> None:
    """Usage errors end with 2."""
    with pytest.raises(UsageError):
        parse_objective(text)


def test_an_openslo_file_is_read(tmp_path: Path) -> None:
    """Thresholds are seconds; ratios are requests that do not fail; each objective reads as text, too."""
    path = tmp_path / "slo.yaml"
    path.write_text(FILE, encoding="utf-8")
    found = parse_objectives([str(path), "p99<1s", path])
    assert [each.text for each in found] == [
        "frontend POST /checkout: latency<=800ms for 99% in 28d",
        "frontend POST /checkout: latency<2000ms for 99.9% in 28d",
        "frontend: error_rate<0.5%", "p99<1s",
    ]  # fmt: skip
    again = [parse_objective(each.text) for each in found]
    assert [(a.bound, a.target, a.entry, a.window_ns) for a in again] == [
        (a.bound, a.target, a.entry, a.window_ns) for a in found
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("openslo/v1\nkind: SLO", "openslo/v1alpha\nkind: SLO", "only openslo/v1"),
        ("Occurrences", "Timeslices", "counts slices of time"), ("op: lte", "op: gte", "lt or lte"),
        ("value: 0.8, ", "", "no value"), ("target: 0.99}", "target: 1.5}", "between 0 and 1"),
        ("4w", "soon", "not one duration"), ("indicatorRef: fine", "indicatorRef: other", "lacks"),
        ("indicatorRef: fine", "description: x", "no indicator"), ("good: {}, ", "", "without good or bad"),
        ("ratioMetric", "otherMetric", "nothing to compare"), ("[{target: 0.995}]", "[]", "no objectives"),
        ("{target: 0.995}", "{target: 0.995, indicatorRef: fine}", "composed"),
        ("kind: SLO", "kind: Service", "no document"),
        ("traceguard/entry: POST /checkout", "traceguard/unit: parsec", "is one of s, ms"),
        ("spec:", "spec: [", "not YAML"),
    ],
)  # fmt: skip
def test_what_a_forecast_cannot_answer_is_refused_in_a_sentence(old: str, new: str, sentence: str) -> None:
    """Nothing in a file is guessed."""
    with pytest.raises(InputError, match=sentence):
        openslo.parse(FILE.replace(old, new).encode(), "slo.yaml")


def test_a_unit_may_be_stated() -> None:
    """The annotation says what OpenSLO cannot."""
    text = FILE.replace("traceguard/entry: POST /checkout", "traceguard/unit: ms").replace("value: 0.8", "value: 800")
    assert openslo.parse(text.encode(), "slo.yaml")[0].limit == 800e6


def test_a_missing_file_is_named() -> None:
    """It ends like a file, so it is one."""
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        parse_objectives("nowhere.yaml")


def test_what_is_wrong_names_the_objective() -> None:
    """One of several is at fault; files are offered only where they can be read."""
    with pytest.raises(UsageError, match=r"The objective 'p99<800' needs a limit with a unit"):
        parse_objective("p99<800")
    with pytest.raises(UsageError, match="write p99") as caught:
        parse_objective("slo.yaml")
    assert "OpenSLO" not in str(caught.value)
    with pytest.raises(UsageError, match="OpenSLO"):
        parse_objectives("nonsense")
