"""Dependencies that only one of two compared periods has, as part of a report."""

from traceguard import model

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
    structure = model.Structure(new_edges=new, vanished_edges=vanished)
    return report.model_copy(update={"warnings": warnings, "structure": structure})


def _listed(edges: list[model.EdgeChange], word: str) -> str:
    busiest = sorted(edges, key=lambda e: (-max(t.calls for t in (e.baseline, e.candidate) if t), e.source, e.target))
    named = ", ".join(f"{e.source} to {e.target}" for e in busiest[:_NAMED])
    more = f" and {len(edges) - _NAMED:,} more" if len(edges) > _NAMED else ""
    return f"{word} {'is' if len(edges) == 1 else 'are'} {named}{more}"
