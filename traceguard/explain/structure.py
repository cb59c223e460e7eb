"""Dependencies and calls that only one of two compared periods has, as part of a report."""

from collections.abc import Iterable, Sequence

from traceguard import model
from traceguard.explain.structure_change import StructureChange
from traceguard.traces.link import Names
from traceguard.traces.structure import START

SHOWN_STEPS = 50
_NAMED = 5  # edges that the warning names; the document has all


def with_structure(report: model.Report, found: model.GraphDiff) -> model.Report:
    """The report with the new and vanished edges of `found`, and a warning where there are any.

    An edge is no regression by itself, so the verdict stays.
    """
    new, vanished = ([e for e in found.edges if e.change == change] for change in ("new", "vanished"))
    warnings = list(report.warnings)
    if new or vanished:
        parts = [_listed(edges, word) for edges, word in ((new, "new"), (vanished, "gone")) if edges]
        message = f"The candidate period has other dependencies than the baseline: {'; '.join(parts)}."
        warnings.append(model.Warning(code="structure_changed", message=message))
    steps = report.structure.steps if report.structure else []
    structure = model.Structure(new_edges=new, vanished_edges=vanished, steps=steps)
    return report.model_copy(update={"warnings": warnings, "structure": structure})


def steps_document(
    changes: Iterable[StructureChange], names: Names, environments: Sequence[str | None]
) -> list[model.StepChange]:
    """The changes that hold, lost calls before new ones, the most unusual first."""
    return [_step_document(c, names, environments) for c in changes if c.holds][:SHOWN_STEPS]


def _step_document(change: StructureChange, names: Names, environments: Sequence[str | None]) -> model.StepChange:
    def step(operation: int) -> model.Step:
        service, name, _ = names.component(2 * operation)
        return model.Step(service=service, operation=name)

    entry = step(change.entry)
    return model.StepChange(
        entry=model.Entry(
            service=entry.service, operation=entry.operation, environment=environments[change.environment]
        ),
        caller=step(change.parent), after=None if change.after == START else step(change.after),
        reference=change.reference, observed=change.observed,
        calls=model.Effect(estimate=change.estimate, low=change.low, high=change.high, unit="calls"),
        q_value=change.q_value,
    )  # fmt: skip


def _listed(edges: list[model.EdgeChange], word: str) -> str:
    busiest = sorted(edges, key=lambda e: (-max(t.calls for t in (e.baseline, e.candidate) if t), e.source, e.target))
    named = ", ".join(f"{e.source} to {e.target}" for e in busiest[:_NAMED])
    more = f" and {len(edges) - _NAMED:,} more" if len(edges) > _NAMED else ""
    return f"{word} {'is' if len(edges) == 1 else 'are'} {named}{more}"
