"""Results for people and programs: documents and graphs as text, JSON, Markdown, HTML, JUnit, Mermaid and DOT.

Nothing here computes a number; what a report says was decided by the analysis. Importing this package is cheap:
pydantic, rich, jinja2, altair and networkx load when a format that needs them is rendered.
"""

from traceguard.report.formats import FORMATS, WITH_MAP, WITH_PICTURES, kind_of, render
from traceguard.report.results import Analysis, Difference, Forecast, Radius, Rollout, Slice, Slices

__all__ = ["FORMATS", "WITH_MAP", "WITH_PICTURES", "Analysis", "Difference", "Forecast", "Radius", "Rollout", "Slice",
           "Slices", "kind_of", "render"]  # fmt: skip
