"""The charts of reports, as specifications."""

from types import ModuleType
from typing import Any

import pytest

from traceguard.model import Histogram
from traceguard.report.charts import distribution


def outline(spec: dict[str, Any], side: str) -> list[tuple[float, float]]:
    """The points (latency, share) of one side's outline."""
    rows = (spec.get("data") or spec["layer"][0]["data"])["values"]  # Altair lifts what layers share
    return [(row["from"], row["share"]) for row in rows if row["side"] == side]


def test_outlines_begin_and_end_at_nothing(documents: ModuleType) -> None:
    """An empty bin closes each side, so no shape is cut off, and no share is lost."""
    points = outline(distribution(documents.histogram()), "seen with it")
    assert points[0][1] == points[-1][1] == 0
    assert sum(share for _, share in points) == pytest.approx(1.0, abs=0.01)


def test_geometric_bins_get_a_logarithmic_axis_with_round_ticks(documents: ModuleType) -> None:
    """Bins that widen look equally wide."""
    x = distribution(documents.histogram())["layer"][0]["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert {50, 100, 200, 500} <= set(x["axis"]["values"])
    assert len(x["axis"]["values"]) <= 9


def test_even_bins_get_a_linear_axis() -> None:
    """Bins of one width stay on a plain axis."""
    even = Histogram(edges_ms=[100.0, 101.0, 102.0, 103.0], reference=[0.2, 0.6, 0.2], observed=[0.1, 0.3, 0.6])
    assert "type" not in distribution(even)["layer"][0]["encoding"]["x"]["scale"]


def test_noise_of_few_requests_is_merged_away(documents: ModuleType) -> None:
    """Spiky outlines get fewer bins, smooth ones keep theirs."""
    smooth = documents.histogram(bins=48)
    spiky = Histogram(
        edges_ms=smooth.edges_ms,
        reference=smooth.reference,
        observed=[share * (index % 2) * 2 for index, share in enumerate(smooth.observed)],
    )
    assert len(outline(distribution(spiky), "seen with it")) < len(outline(distribution(smooth), "seen with it")) / 1.5


def test_means_outside_the_picture_are_left_out(documents: ModuleType) -> None:
    """A rule is drawn only where its value lies between the first and the last bin."""
    both = distribution(documents.histogram(), (96.4, 188.7))["layer"][1]["data"]["values"]
    assert [row["from"] for row in both] == [96.4, 188.7]
    one = distribution(documents.histogram(), (96.4, 1e6))["layer"][1]["data"]["values"]
    assert [row["from"] for row in one] == [96.4]
    assert len(distribution(documents.histogram(), (float("nan"), 1.0))["layer"]) == 1
