"""What a report rests on, gathered once: a held window, or a store that is still open, keeps it while nothing changes.

All that evidence depends on stands in the name under which it is kept, so that two questions share it only where they
would gather the same.
"""

from collections.abc import Callable
from dataclasses import replace

from traceguard.engine.asked import Asked
from traceguard.engine.attributes import Cohorts, only_where, with_attributes
from traceguard.engine.kept import Shelf
from traceguard.engine.left_out import traces_elsewhere
from traceguard.engine.local import Window, watched
from traceguard.explain.evidence import Evidence, gather
from traceguard.settings import Settings
from traceguard.units import Period

_SHELF: Shelf[Evidence] = Shelf()


def evidence_of(
    of: Asked, settings: Settings, cohorts: Cohorts, *, unit: str | None, compared: tuple[Period, Period] | None,
    ignore_watermark: bool, show: Callable[..., None],
) -> Evidence:  # fmt: skip
    """Facts and circumstances of what is asked about, or what the same question was given before.

    `unit` and `cohorts` say whose each request was and which attributes count, `compared` are the baseline and the
    candidate where two periods are compared. OutdatedError for a held window where something was removed from the
    store.
    """

    def gathered() -> Evidence:
        show("Opening the window")
        window = of.window()
        read = of.circumstances(window, settings, unit)
        read = with_attributes(read, of.cursor, window, cohorts)
        left_out = only_where(of.left_out_by(window, settings), of.cursor, window, cohorts)
        if of.env is not None:
            left_out = replace(left_out, elsewhere=traces_elsewhere(of.cursor, of.period, of.env, of.gap))
        return gather(
            of.cursor, window, read, left_out, of.sampling(window, settings),
            ignore_watermark=ignore_watermark, periods=compared,
            watch=lambda stage, partitions: watched(partitions, window, show, stage),
        )  # fmt: skip

    def sized() -> tuple[Window, Evidence, int]:
        found = gathered()
        return found.window, found, found.size

    name = (of.period, of.gap, compared, of.env, unit, ignore_watermark, cohorts, repr(settings))
    if of.held is None:
        return _SHELF.get(of.store, of.cursor, name, of.period, sized)
    of.window()  # refuses where something was removed, even if the answer is known
    return of.once(name, gathered)
