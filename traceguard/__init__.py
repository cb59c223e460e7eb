"""Finds which service under which feature flag or version explains a latency or error regression.

    import traceguard as tg

    store = tg.open("traces.duckdb")
    analysis = tg.report(store, since="-1h")

The functions live in `traceguard.pipeline` and are fetched at first use, so importing the package costs nothing. Two of
them share their names with rooms of the package: `traceguard.report` and `traceguard.graph` are always the functions,
even after a room was imported; what the rooms hold is reached with `from traceguard.report import ...`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # What type checkers see; when the program runs, `_Package` below answers for these names.
    # `open` reads like the builtin on purpose.
    from traceguard.pipeline import (  # noqa: TC004
        blast_radius,
        graph,
        graph_diff,
        hold,
        ingest,
        open,
        plan,
        query,
        report,
        snapshot,
        what_if,
    )

    __version__: str

__all__ = [
    "__version__",
    "blast_radius",
    "graph",
    "graph_diff",
    "hold",
    "ingest",
    "open",
    "plan",
    "query",
    "report",
    "snapshot",
    "what_if",
]


class _PublicFunction:
    """A name of the package that is a function of the pipeline, whatever else is imported under that name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, package: ModuleType | None, owner: type) -> Any:
        return getattr(import_module("traceguard.pipeline"), self._name)

    def __set__(self, package: ModuleType, value: object) -> None:
        # The import system binds a submodule to its parent once it is loaded; the function keeps the name.
        if not isinstance(value, ModuleType):
            raise AttributeError(  # noqa: TRY004  (what Python raises for an attribute that cannot be set)
                f"traceguard.{self._name} is a function of the package and cannot be replaced."
            )


class _Version:
    """The installed version, read when someone asks."""

    def __get__(self, package: ModuleType | None, owner: type) -> str:
        from importlib.metadata import version

        return version("traceguard")


class _Package(ModuleType):
    """The package `traceguard`: a module whose public functions are attributes that cannot be shadowed."""

    __version__ = _Version()
    blast_radius = _PublicFunction()
    graph = _PublicFunction()
    graph_diff = _PublicFunction()
    hold = _PublicFunction()
    ingest = _PublicFunction()
    open = _PublicFunction()
    plan = _PublicFunction()
    query = _PublicFunction()
    report = _PublicFunction()
    snapshot = _PublicFunction()
    what_if = _PublicFunction()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
