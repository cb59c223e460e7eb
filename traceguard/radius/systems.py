"""Systems that send no spans, asked about all the same: a database, a cache, a queue, somebody else's service.

What is known of them are their callers' spans. Those that name the system, and that no span answers, are taken for its
calls, as if the system itself had sent them; everything else is asked as of any service.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from traceguard import model
from traceguard.engine.asked import Asked
from traceguard.radius.names import Target
from traceguard.radius.unseen import Peers, named_calls, read_peers
from traceguard.traces.link import Linked, Names

_Document = TypeVar("_Document", model.BlastRadius, model.WhatIf)


def peers_of(of: Asked) -> Peers:
    """The names that callers give to callees, of the window that is open on the question's cursor."""
    return of.once(read_peers, lambda: read_peers(of.cursor))


def system_names(of: Asked) -> Sequence[str]:
    """What callers in the window name; opens it."""
    of.window()
    return peers_of(of).names


def as_service(linked: Linked, peers: Peers, system: str) -> Linked:
    """A partition in which the calls of `system` are spans of a service of that name, each with its own operation.

    Calls that begin a request themselves stay their caller's, because nobody enters at a database. Numbers of known
    services and operations stay as they were, and new ones are the same in every partition.
    """
    names = linked.names
    service, width = len(names.services), len(names.operations)
    span, name = named_calls(linked, peers)
    span = span[np.array(peers.names, dtype=object)[name] == system] if span.size else span
    span = span[~np.isin(span, linked.root)]
    services, operations = linked.service.copy(), linked.operation.copy()
    services[span] = service
    operations[span] += np.int32(width)
    added = Names(
        (*names.services, system), (*names.operations, *((service, operation) for _, operation in names.operations)),
        names.environments, names.hosts,
    )  # fmt: skip
    return replace(linked, names=added, service=services, operation=operations)


def as_asked(linked: Linked, peers: Peers, target: Target) -> Linked:
    """A partition in which a target that is a system has its calls, see `as_service`; as it is for any other."""
    return as_service(linked, peers, target.service or "") if target.inferred else linked


def with_system(document: _Document, target: Target) -> _Document:
    """The document with a warning where the target is a system: the answer is about calls as their callers saw them."""
    if not target.inferred:
        return document
    message = (
        f"{target.service} sent no spans: its calls are the spans in which callers name it, so that what it does"
        " itself, and callers that do not name it, are unknown."
    )
    told = model.Warning(code="inferred_system", message=message)
    return document.model_copy(update={"warnings": [told, *document.warnings]})
