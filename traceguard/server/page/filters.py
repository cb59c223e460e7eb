"""What a view is about, as it stands in its address: a stretch of time and filters, carried by every link.

Times are text (RFC 3339 or relative) as everywhere. `last` counts back from the newest span and not from now, so that
a recording of last week shows itself, too; the last six hours unless the address says otherwise.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from traceguard.errors import UsageError
from traceguard.units import format_time, parse_duration, parse_time

LAST = (("15m", "15 min"), ("1h", "1 h"), ("6h", "6 h"), ("all", "All"))
_DEFAULT = "6h"
_MINUTE = 60 * 10**9
SLICES = 48


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `since` up to before `until`, ns; `slice_ns` parts it in `SLICES`. `whole` says that it is all there is."""

    since: int
    until: int
    whole: bool
    open_end: bool

    @property
    def slice_ns(self) -> int:
        """The length of a slice, ns."""
        return max(-(-(self.until - self.since) // SLICES), 1)

    @property
    def asked(self) -> dict[str, int | None]:
        """As the functions of the pipeline take it; the whole store is asked for without bounds."""
        return {"since": None if self.whole else self.since, "until": None if self.open_end else self.until}


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a view, each empty where none is set."""

    last: str = ""
    since: str = ""
    until: str = ""
    env: str = ""
    entry: str = ""
    service: str = ""
    flag: str = ""

    @classmethod
    def of(cls, request: Request, also: tuple[str, ...] = ()) -> "Filters":
        """Those of an address; UsageError for parameters that neither filters nor `also` name, or that come twice."""
        known = [field.name for field in fields(cls)]
        given = request.query_params.multi_items()
        for name, times in Counter(name for name, _ in given).items():
            if name not in known and name not in also and name != "wait":
                raise UsageError(
                    f"{request.url.path} has no parameter {name!r}; it takes {', '.join([*known, *also])}."
                )
            if times > 1 and name != "slo":
                raise UsageError(f"The parameter {name} is given {times} times; give it once.")
        return cls(**{name: value for name, value in given if name in known})

    @property
    def given(self) -> dict[str, str]:
        """The filters that are set."""
        return {field.name: value for field in fields(self) if (value := str(getattr(self, field.name)))}

    def link(self, path: str, **more: str | int) -> str:
        """The address of another view under the same filters."""
        query = urlencode({**self.given, **more})
        return f"{path}?{query}" if query else path

    def within(self, last: str) -> "Filters":
        """The same filters over another stretch of time."""
        return replace(self, last=last, since="", until="")

    @property
    def chosen(self) -> str:
        """Which of `LAST` is shown; empty for a stretch of one's own."""
        return "" if self.since or self.until else self.last or _DEFAULT

    @property
    def flag_and_variant(self) -> tuple[str | None, str | None]:
        """The flag to look at, and its variant where one is named with it: `flag` or `flag=variant`."""
        key, _, variant = self.flag.partition("=")
        return key or None, variant or None

    def stretch(self, first_ns: int, last_ns: int) -> Stretch:
        """The stretch of time in a store whose first and last spans start then; UsageError for one that is empty."""
        now = time.time_ns()
        end = last_ns + 1
        if self.since or self.until:
            begin = parse_time(self.since, now) if self.since else first_ns
            stop = parse_time(self.until, now) if self.until else max(end, begin + 1)
            if begin >= stop:
                raise UsageError("The window is empty: it does not start before it ends; choose an earlier start.")
            return Stretch(begin, stop, whole=not self.since, open_end=not self.until)
        if self.chosen == "all":
            return Stretch(first_ns, end, whole=True, open_end=True)
        begin = (end - parse_duration(self.chosen)) // _MINUTE * _MINUTE
        return Stretch(max(begin, first_ns), end, whole=begin <= first_ns, open_end=True)

    def sql(self, stretch: Stretch) -> dict[str, Any]:
        """Everything as parameters for the queries of the page."""
        flag, variant = self.flag_and_variant
        return {
            "since": stretch.since, "until": stretch.until, "slice_ns": stretch.slice_ns,
            "environment": self.env or None, "entry": self.entry or None, "service": self.service or None,
            "flag": flag, "variant": variant,
        }  # fmt: skip

    @property
    def where(self) -> "Filters":
        """Only what says which requests are looked at at all: time and environment, each written in one way."""
        return replace(self, last=self.chosen, entry="", service="", flag="")

    @property
    def named(self) -> Mapping[str, Any]:
        """Only what is asked about them, as options of `pipeline.report`."""
        return {"entry": self.entry or None, "service": self.service or None, "flag": self.flag_and_variant[0]}

    def question(self, stretch: Stretch) -> Mapping[str, Any]:
        """Everything as options of `pipeline.report`."""
        return {**stretch.asked, "env": self.env or None, **self.named}

    def report(self, stretch: Stretch, form: str) -> str:
        """The address of the same report from the API, in one of its formats."""
        asked = {
            name: format_time(value) if name in {"since", "until"} else value
            for name, value in self.question(stretch).items()
            if value is not None
        }
        return f"/api/report?{urlencode({**asked, 'format': form})}"

    def fixed(self, stretch: Stretch) -> "Filters":
        """The same view with its times spelled out, to be sent to somebody who looks later."""
        return replace(self, last="", since=format_time(stretch.since) or "", until=format_time(stretch.until) or "")
