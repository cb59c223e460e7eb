"""What the Python functions return: frozen wrappers around the documents that know how to show themselves.

The document is the truth; a wrapper adds shortcuts, a frame and a notebook view, and what a renderer may need beside
the document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traceguard.settings import Settings
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx
    import polars as pl

    from traceguard import model
    from traceguard.model import BlastRadius, Cause, GraphDiff, Pictures, Plan, Regression, Report, Verdict, WhatIf
    from traceguard.units import Period


@dataclass(frozen=True, slots=True)
class Analysis:
    """What `report` found.

    `graph` adds the service map, `pictures` call paths and typical traces, `settings` trace links, owners and runbooks
    to pages.
    """

    document: Report
    graph: nx.DiGraph[Any] | None = None
    settings: Settings = field(default_factory=Settings)
    pictures: Pictures | None = None

    @property
    def verdict(self) -> Verdict:
        """`regression`, `no_regression`, `inconclusive` or `no_data`."""
        return self.document.verdict

    @property
    def causes(self) -> list[Cause]:
        """What explains the regressions, best explanation first."""
        return self.document.causes

    @property
    def regressions(self) -> list[Regression]:
        """What got worse, by entry point, metric and factors."""
        return self.document.regressions

    @property
    def improvements(self) -> list[Cause]:
        """What explains things that got better, in the shape of causes."""
        return self.document.improvements

    @property
    def warnings(self) -> list[model.Warning]:
        """What the data cannot answer, and what to keep in mind."""
        return self.document.warnings

    def to_dict(self) -> dict[str, Any]:
        """The document of `report --format json` as dictionaries and lists; what is not finite becomes None."""
        from traceguard.report.documents import plain

        return plain(self.document)

    def to_json(self) -> str:
        """The document of `report --format json`."""
        from traceguard.report.documents import as_json

        return as_json(self.document)

    def to_polars(self) -> pl.DataFrame:
        """The causes as a frame, one row a cause, in the order of their rank."""
        from traceguard.report.frames import causes_frame

        return causes_frame(self.document.causes)

    def __repr__(self) -> str:
        """One line: the verdict and how much was found."""
        found = (
            ("regression", len(self.regressions)), ("cause", len(self.causes)), ("warning", len(self.warnings))
        )  # fmt: skip
        numbers = ", ".join(counted(number, noun) for noun, number in found)
        return f"<Analysis {self.verdict}: {numbers}; {counted(self.document.window.traces, 'request')}>"

    def _repr_html_(self) -> str:
        from traceguard.report.notebook import show_analysis

        return show_analysis(self)


@dataclass(frozen=True, slots=True)
class Slice:
    """The graph of one slice of time and how many requests started in it."""

    period: Period
    requests: int
    graph: nx.DiGraph[Any]


@dataclass(frozen=True, slots=True)
class Slices:
    """What `graph` found slice by slice, in the order of time: a sequence of `Slice`."""

    slices: tuple[Slice, ...] = ()

    def __len__(self) -> int:
        """How many slices there are, empty ones in between included."""
        return len(self.slices)

    def __iter__(self) -> Iterator[Slice]:
        """The slices, earliest first."""
        return iter(self.slices)

    def __getitem__(self, index: int) -> Slice:
        """The slice at a position."""
        return self.slices[index]

    def to_dict(self) -> dict[str, Any]:
        """The document of `graph --every --format json` as dictionaries and lists."""
        from traceguard.report.documents import slices_document

        return slices_document(self)

    def __repr__(self) -> str:
        """One line: how many slices and requests."""
        return f"<Slices {len(self.slices)}: {sum(each.requests for each in self.slices):,} requests>"


@dataclass(frozen=True, slots=True)
class Difference:
    """What `graph_diff` found."""

    document: GraphDiff

    def to_dict(self) -> dict[str, Any]:
        """The document of `graph --baseline --candidate --format json` as dictionaries and lists."""
        from traceguard.report.documents import plain

        return plain(self.document)

    def to_json(self) -> str:
        """The document of `graph --baseline --candidate --format json`."""
        from traceguard.report.documents import as_json

        return as_json(self.document)

    def __repr__(self) -> str:
        """One line: how many dependencies are new, vanished, changed."""
        from traceguard.report.wording import difference_size

        return f"<Difference: {difference_size(self.document)}>"


@dataclass(frozen=True, slots=True)
class Radius:
    """What `blast_radius` found."""

    document: BlastRadius

    def to_dict(self) -> dict[str, Any]:
        """The document of `blast-radius --format json` as dictionaries and lists."""
        from traceguard.report.documents import plain

        return plain(self.document)

    def to_json(self) -> str:
        """The document of `blast-radius --format json`."""
        from traceguard.report.documents import as_json

        return as_json(self.document)

    def __repr__(self) -> str:
        """One line: the target and the share of requests it reaches."""
        from traceguard.report.wording import not_known, target_name

        reach = self.document.reach
        if not_known(self.document):
            return f"<Radius {target_name(self.document.target)}: not known, no usable request>"
        size = f"{reach.requests_fraction:.1%} of requests, {counted(reach.services, 'service')}"
        return f"<Radius {target_name(self.document.target)}: {size}>"

    def _repr_html_(self) -> str:
        from traceguard.report.notebook import show_radius

        return show_radius(self)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `what_if` predicts."""

    document: WhatIf

    def to_dict(self) -> dict[str, Any]:
        """The document of `what-if --format json` as dictionaries and lists."""
        from traceguard.report.documents import plain

        return plain(self.document)

    def to_json(self) -> str:
        """The document of `what-if --format json`."""
        from traceguard.report.documents import as_json

        return as_json(self.document)

    def __repr__(self) -> str:
        """One line: what was supposed and how many entry points it moves."""
        from traceguard.report.wording import scenario_name

        entries = counted(len(self.document.entries), "entry point")
        return f"<Forecast {scenario_name(self.document.scenario)}: {entries}>"

    def _repr_html_(self) -> str:
        from traceguard.report.notebook import show_forecast

        return show_forecast(self)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What `plan` proposes."""

    document: Plan

    def to_dict(self) -> dict[str, Any]:
        """The document of `plan --format json` as dictionaries and lists."""
        from traceguard.report.documents import plain

        return plain(self.document)

    def to_json(self) -> str:
        """The document of `plan --format json`."""
        from traceguard.report.documents import as_json

        return as_json(self.document)

    def to_polars(self) -> pl.DataFrame:
        """The steps as a frame, one row a step, without their curves."""
        import polars as pl

        steps = [step.model_dump(exclude={"curve", "entry"}) for step in self.document.steps]
        return pl.DataFrame(steps, infer_schema_length=None)

    def __repr__(self) -> str:
        """One line: the target, the size and how many steps show it."""
        from traceguard.report.rollout import headline

        return f"<Rollout {headline(self.document)}>"

    def _repr_html_(self) -> str:
        from traceguard.report.notebook import show_rollout

        return show_rollout(self)
