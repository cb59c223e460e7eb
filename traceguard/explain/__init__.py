"""Facts to effects to causes: what explains a change, by how much, and how sure that is."""

from traceguard.explain.answer import explain
from traceguard.explain.evidence import Evidence, gather
from traceguard.explain.question import Question
from traceguard.explain.structure import with_structure

__all__ = ["Evidence", "Question", "explain", "gather", "with_structure"]
