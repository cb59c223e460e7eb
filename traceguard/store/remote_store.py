"""A store behind a running server, asked as a local one is: options travel as text, documents come back.

Each method is a route of the server and takes its options by name; what is None or False is left out. Errors are those
of `traceguard.store.remote`.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from traceguard.store import remote
from traceguard.units import Period, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from traceguard.model import BlastRadius, GraphDiff, Pictures, Plan, Report, WhatIf
    from traceguard.store.removal import Removed


def behind_server(store: Any) -> RemoteStore | None:
    """The store of a running server, given as what it is or by the server's URL; None for a local one."""
    if isinstance(store, RemoteStore):
        return store
    return RemoteStore(store.rstrip("/")) if isinstance(store, str) and remote.is_url(store) else None


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """A store behind a running server; every function of the pipeline takes it like a local one."""

    url: str

    def __enter__(self) -> Self:
        """The store itself; there is nothing to close."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def report(self, **options: Any) -> tuple[Report, Pictures | None]:
        """What a server reports, and the pictures of a page where these were asked for."""
        from traceguard.model import Pictures, Report

        answer = self._document("report", options)
        pictures = answer.pop("pictures", None)
        return Report.model_validate(answer), Pictures.model_validate(pictures) if pictures else None

    def graph(self, **options: Any) -> Any:
        """A graph in node-link form, or its slices."""
        return self._document("graph", options)

    def graph_diff(self, **options: Any) -> GraphDiff:
        """What differs between the graphs of two periods."""
        from traceguard.model import GraphDiff

        return GraphDiff.model_validate(self._document("graph", options))

    def blast_radius(self, **options: Any) -> BlastRadius:
        """Who is reached."""
        from traceguard.model import BlastRadius

        return BlastRadius.model_validate(self._document("blast-radius", options))

    def what_if(self, **options: Any) -> WhatIf:
        """What would become of latency and errors."""
        from traceguard.model import WhatIf

        return WhatIf.model_validate(self._document("what-if", options))

    def plan(self, *, steps: str | float | Sequence[str | float] | None, **options: Any) -> Plan:
        """How a rollout would go."""
        from traceguard.model import Plan

        if steps is not None and not isinstance(steps, str | int | float):
            steps = ",".join(str(step) for step in steps)  # one option, as on the command line
        return Plan.model_validate(self._document("plan", {**options, "steps": steps}))

    def query(self, name: str, params: Mapping[str, Any]) -> pl.DataFrame:
        """The rows of a query of `queries/read`."""
        import polars as pl

        return pl.read_ipc_stream(io.BytesIO(self._answer(f"query/{name}", params, "arrow")))

    def snapshot(self, out: Path) -> None:
        """Write a consistent copy of the store to the new file `out`."""
        remote.download(self.url, "snapshot", out)

    def forget(self, unit: str, key: str | None, *, rehearse: bool) -> Removed:
        """Remove every request of a person, or say what would go."""
        from traceguard.store.removal import Removed

        return Removed(**json.loads(remote.post(self.url, "forget", {"unit": unit, "key": key, "dry_run": rehearse})))

    def _document(self, route: str, options: Mapping[str, Any]) -> Any:
        return json.loads(self._answer(route, options, "json"))

    def _answer(self, route: str, options: Mapping[str, Any], format: str) -> bytes:
        given = {name.replace("_", "-"): _written(name, value) for name, value in options.items()}
        return remote.ask(self.url, route, {**given, "format": format})


def _written(name: str, value: Any) -> Any:
    """An option as it travels: times, periods and switches as text, whichever way they were given."""
    if value is True:
        return "true"
    if isinstance(value, Period):
        return f"{format_time(value.start_ns)}/{format_time(value.end_ns)}"
    return format_time(value) if name in {"since", "until"} and isinstance(value, int) else value
