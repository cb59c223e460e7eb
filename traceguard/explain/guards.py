"""Guards: what would make a comparison misleading although its numbers look sure; each a warning code and sentence."""

from collections.abc import Iterator

import numpy as np

from traceguard.explain.compared import Compared
from traceguard.explain.question import Question

_Caveats = Iterator[tuple[str, str]]


def guards(question: Question, compared: Compared) -> _Caveats:
    """All guards, none of them where nothing is compared."""
    if compared.nothing is not None:
        return
    yield from _about_the_references(question, compared)


def _about_the_references(question: Question, compared: Compared) -> _Caveats:
    seen = {
        (factor.kind, factor.key, factor.service, factor.levels[code])
        for f, factor in enumerate(compared.factors)
        for code in np.unique(compared.levels[:, f])
    }
    missing = [reference.name for reference in question.references if reference not in seen]
    if missing:
        none = f"No compared request ran under {', '.join(missing)}, which should be the reference"
        yield "reference_not_seen", f"{none}; the usual one is taken instead."
