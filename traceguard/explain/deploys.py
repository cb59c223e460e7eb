"""Deploys: when versions came, found from the versions themselves."""

from collections.abc import Sequence

from traceguard import model
from traceguard.explain.evidence import Evidence
from traceguard.explain.verdict import Judged
from traceguard.units import format_time


def deploys_document(evidence: Evidence, judged: Sequence[Judged]) -> list[model.Deploy]:
    """The versions that were first seen in the window, in that order."""
    bounds = evidence.window.bounds
    if bounds is None:
        return []
    levels = (level for j in judged if j.by_time for column in j.members for level in column.levels)
    at_once = {
        (level.factor.service, level.factor.levels[code])
        for level in levels if level.factor.kind == "version"
        for code in (level.code, level.reference)
    }  # fmt: skip
    found = sorted((d.first_seen, d.service, d) for d in evidence.read.deploys if bounds[0] < d.first_seen <= bounds[1])
    return [
        model.Deploy(
            service=d.service, version=d.version, reference=d.reference, first_seen=format_time(first_seen) or "",
            at_once=(d.service, d.version) in at_once,
        )
        for first_seen, _, d in found
    ]  # fmt: skip
