"""The forms of the live page: what each question takes, in the words of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its parameter, its label, an example, and the kind of names that it offers."""

    name: str
    label: str
    example: str = ""
    names: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """A form; one of the fields `subject` must be filled in."""

    title: str
    lead: str
    button: str
    subject: Sequence[str]
    fields: Sequence[Field]


_SERVICE = Field("service", "Service", "cart", "service")
_OPERATION = Field("operation", "Operation, if only one", "GET /cart")
_FLAG = Field("flag", "or flag, flag=variant", "new-pricing", "flag")
_DELAY = Field("delay", "Delay of every call", "50ms")
_ERRORS = Field("error_rate", "Calls that fail", "5%")
_SLO = Field("slo", "Objective", "p99<800ms")

FORMS: Mapping[str, Form] = {
    "blast-radius": Form(
        "Blast radius", "Who is hit if a service, an operation or a flag goes wrong, from recorded requests.",
        "Show who is hit", ("service", "flag"),
        (_SERVICE, _OPERATION, _FLAG, Field("read_by", "Read by, if the flag is yet to come", "payments", "service")),
    ),
    "what-if": Form(
        "What if", "What users would notice if a service got slower or failed more, or if a flag were extended.",
        "Show what happens", ("service", "flag"),
        (_SERVICE, _OPERATION, _FLAG, _DELAY, _ERRORS, Field("exposure", "Exposure", "25%"), _SLO),
    ),
    "plan": Form(
        "Rollout plan", "Exposure steps at which a regression would show, and how long each must last.",
        "Make a plan", ("service", "flag"),
        (_SERVICE, _OPERATION, _FLAG, Field("delay", "Delay that must show", "20ms"),
         Field("error_rate", "or failures that must show", "1%"), Field("steps", "Exposure steps", "1%,5%,25%,100%")),
    ),
}  # fmt: skip
