"""What one question reads: a window of an open store, of one named by its path, or a window that is held in memory.

What several questions read alike is read here; of a held window it is read once for all of them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traceguard.engine import periods
from traceguard.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    from traceguard.engine.attributes import Cohorts
    from traceguard.engine.circumstances import Read
    from traceguard.engine.held import HeldWindow
    from traceguard.engine.left_out import LeftOut
    from traceguard.engine.local import Window
    from traceguard.settings import Settings
    from traceguard.traces.factors import Attribute
    from traceguard.traces.sampling import Sampling
    from traceguard.units import Period

_Kept = TypeVar("_Kept")


@contextlib.contextmanager
def opened(store: Any) -> Iterator[Any]:
    """A local store; one named by its path is opened to read and closed again. UsageError for a held window."""
    if _held(store) is not None:
        raise UsageError(
            "A held window answers report, graph, blast_radius, what_if and plan; ask the store itself for the rest."
        )
    if not isinstance(store, str | Path):
        yield store
        return
    from traceguard.store import open_store

    with open_store(Path(store), mode="read") as found:
        yield found


@contextlib.contextmanager
def reading(store: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor on a local store."""
    with opened(store) as found, found.cursor() as cursor:
        yield cursor


@contextlib.contextmanager
def asked_of(
    store: Any, since: str | int | None, until: str | int | None, env: str | None,
    compared: tuple[Period, Period] | None = None,
) -> Iterator[Asked]:  # fmt: skip
    """A window of a local store, or a held one, on a cursor of its own.

    Where two periods are compared it is what lies in them. UsageError for a held window that is asked about others.
    """
    if (held := _held(store)) is None:
        period, gap = periods.parse_window(since, until), None
        if compared is not None:
            period, gap = periods.hull(period, *compared)
        with opened(store) as found, found.cursor() as cursor:
            yield Asked(found, cursor, period, env, gap)
        return
    if since is not None or until is not None or env is not None:
        raise UsageError("A held window has its time and environment already; ask the store itself about others.")
    if compared is not None:
        raise UsageError("A held window is compared by factors; ask the store itself to compare two periods.")
    with held.store.cursor() as cursor:
        yield Asked(held.store, cursor, held.period, held.environment, held=held)


def _held(store: Any) -> HeldWindow | None:
    if isinstance(store, str | Path):
        return None
    from traceguard.engine.held import HeldWindow

    return store if isinstance(store, HeldWindow) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """A window of an open store, on a cursor of its own; requests that began in `gap` are not in it."""

    store: Any
    cursor: duckdb.DuckDBPyConnection
    period: Period
    env: str | None
    gap: Period | None = None
    held: HeldWindow | None = None

    def window(self) -> Window:
        """The window's traces, beside the store as `window_traces`."""
        from traceguard.engine.local import open_window

        if self.held is not None:
            return self.held.open(self.cursor)
        return open_window(self.cursor, self.period, self.env, self.gap)

    def once(self, name: Hashable, read: Callable[[], _Kept]) -> _Kept:
        """What `read` gives; of a held window it is read once for all questions."""
        return read() if self.held is None else self.held.once(name, read)

    def read_ahead(self, settings: Settings) -> None:
        """Read what questions to a held window have in common beside its traces, so that the first pays no more."""
        window = self.window()
        self.circumstances(window, settings)
        self.sampling(window, settings)
        self.left_out(window, settings)

    def left_out(self, window: Window, settings: Settings) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
        """The operations and the traces that the settings leave out."""
        return self.left_out_by(window, settings).entries_and_traces(window)

    def left_out_by(self, window: Window, settings: Settings) -> LeftOut:
        """What each rule of the settings leaves out."""
        from traceguard.engine.left_out import read_left_out

        entries, attributes = settings.leave_out_entries, settings.leave_out_attributes
        return self.once(
            (read_left_out, tuple(entries), tuple(attributes.items())),
            lambda: read_left_out(self.cursor, window, entries, attributes),
        )

    def circumstances(self, window: Window, settings: Settings, unit: str | None = None) -> Read:
        """What each trace ran under, and whose it was; `unit` names the attribute that says so."""
        from traceguard.engine.circumstances import read_circumstances

        keys = tuple(settings.unit_keys)
        return self.once((read_circumstances, unit, keys), lambda: read_circumstances(self.cursor, window, unit, keys))

    def units(self, window: Window, settings: Settings) -> NDArray[np.uint64]:
        """Whose each trace was."""
        if self.held is not None:
            return self.circumstances(window, settings).circumstances.unit
        from traceguard.engine.circumstances import read_units

        keys = tuple(settings.unit_keys)
        return self.once((read_units, keys), lambda: read_units(self.cursor, window, keys))

    def attributes(self, window: Window, cohorts: Cohorts) -> tuple[Attribute, ...]:
        """The values that each trace has of the attributes that are asked about."""
        from traceguard.engine.attributes import read_attributes

        return self.once((read_attributes, cohorts), lambda: read_attributes(self.cursor, window, cohorts))

    def sampling(self, window: Window, settings: Settings) -> Sampling:
        """How many requests each trace stands for."""
        from traceguard.engine.sampling import read_sampling

        keys = tuple(settings.sample_rate_keys)
        return self.once((read_sampling, keys), lambda: read_sampling(self.cursor, window, keys))
