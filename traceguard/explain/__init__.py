"""Facts to effects to causes: what explains a change, by how much, and how sure that is."""

from traceguard.explain.answer import explain
from traceguard.explain.question import Evidence, Question

__all__ = ["Evidence", "Question", "explain"]
