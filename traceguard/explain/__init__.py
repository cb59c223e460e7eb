"""Facts to effects to causes: what explains a change, by how much, and how sure that is."""

from traceguard.explain.accepted import failing, with_accepted
from traceguard.explain.answer import explain
from traceguard.explain.evidence import Evidence, gather
from traceguard.explain.pictures import pictures_of
from traceguard.explain.question import Question
from traceguard.explain.structure import with_structure

__all__ = ["Evidence", "Question", "explain", "failing", "gather", "pictures_of", "with_accepted", "with_structure"]
