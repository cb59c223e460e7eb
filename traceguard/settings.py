"""What a team configures once: which attributes identify a user, how flags are tagged, what to leave out.

Read from `traceguard.toml` in the current folder (or the file that `$TRACEGUARD_CONFIG` names); command-line options
win over it.
"""

import os
import tomllib
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any

from traceguard.errors import UsageError

UNIT_KEYS = ("session.id", "user.id", "enduser.id", "enduser.pseudo.id")
CORRELATION_KEYS = (
    *UNIT_KEYS, "http.request.header.x-request-id", "http.request.header.x-correlation-id", "guid:x-request-id",
    "messaging.message.conversation_id", "correlation.id", "tenant.id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A cause that the team accepts through the end of the day `until` (UTC), and why.

    It is the cause in `service`, at `operation`, in `locus`, of `metric`, under `factor` (`new-pricing`,
    `new-pricing=on`, `service.version@payment=1.8.0`); what is not given may be anything, but not all of it.
    """

    until: date
    reason: str
    service: str | None = None
    operation: str | None = None
    locus: str | None = None
    metric: str | None = None
    factor: str | None = None

    def __str__(self) -> str:
        named = (self.service, self.operation, self.locus, self.metric, self.factor)
        return " ".join(name for name in named if name is not None)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings with the field's defaults.

    `unit_keys` are tried in order when no flag evaluation names its context; `correlation_keys` are the attributes kept
    in the `correlations` table at ingest; `flag_prefixes` mark plain span attributes `PREFIX<flag> = <variant>` as flag
    state. `drop_attributes` and `hash_attributes` are keys, or patterns with `*`, that ingest keeps from the store;
    the key of the hashes comes from `$TRACEGUARD_HASH_KEY` or from `hash_key_file`. `keep` and `max_size` are what
    `serve` and `prune` leave in a store, such as `7d` and `50GB`; without them it is everything. `judge_every` is how
    often `serve` judges by itself, such as `10m`; never without it.

    `leave_out_entries` are entry points that do not count (operations, or "service operation", `*` being any text),
    such as health checks; `leave_out_attributes` does the same by an attribute of the root, such as
    `"user_agent.synthetic.type" = "*"` for the synthetic traffic of OpenTelemetry's conventions. Nothing is left out by
    default. `sample_rate_keys` are attributes of the root that state its sample rate: from 1 on N of 1-in-N
    (Honeycomb's `SampleRate`), below 1 a probability (Jaeger's `sampler.param` of its probabilistic sampler); the
    first one found wins, also over the trace state's `ot=th:`, which needs no setting. `attributes` are those that
    requests are compared by and causes narrowed down to, such as `tenant.id` and `region`. `expected_ratio` states in
    what ratio units should get a flag's variants, such as `"new-pricing" = {on = 0.5, off = 0.5}`; a report warns where
    they do not.

    `trace_links` are addresses of the team's trace UIs by the name that a link shows, with `{trace_id}` and, where the
    UI takes them, `{span_id}`, `{start_ms}`, `{end_ms}`, `{start_s}` and `{end_s}`; `trace_url` is a single one.
    `owners` and `runbooks` say by service whom to ask and where to look; `accepted` are causes that are known for now.
    """

    unit_keys: tuple[str, ...] = UNIT_KEYS
    correlation_keys: tuple[str, ...] = CORRELATION_KEYS
    flag_prefixes: tuple[str, ...] = ("feature_flag.", "flag.evaluation.")
    leave_out_entries: tuple[str, ...] = ()
    leave_out_attributes: dict[str, str] = field(default_factory=dict)
    sample_rate_keys: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    expected_ratio: dict[str, dict[str, float]] = field(default_factory=dict)
    max_body: str = "64MiB"
    drop_attributes: tuple[str, ...] = ()
    hash_attributes: tuple[str, ...] = ()
    hash_key_file: str | None = None
    keep: str | None = None
    max_size: str | None = None
    judge_every: str | None = None
    trace_url: str | None = None
    trace_links: dict[str, str] = field(default_factory=dict)
    accepted: tuple[Acceptance, ...] = ()
    owners: dict[str, str] = field(default_factory=dict)
    runbooks: dict[str, str] = field(default_factory=dict)

    @property
    def promoted_keys(self) -> tuple[str, ...]:
        """All attribute keys whose values go to `correlations`, without repeats."""
        return tuple(dict.fromkeys((*self.correlation_keys, *self.unit_keys)))


def load(path: Path | None = None) -> Settings:
    """Settings from `path`, else from `$TRACEGUARD_CONFIG`, else from `./traceguard.toml`, else the defaults."""
    named = path or (Path(os.environ["TRACEGUARD_CONFIG"]) if "TRACEGUARD_CONFIG" in os.environ else None)
    source = named or Path("traceguard.toml")
    if not source.exists():
        if named is not None:
            raise UsageError(f"The settings file {source} does not exist; correct the path or remove the setting.")
        return Settings()
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The settings file {source} is not valid TOML: {error}.") from None
    known = {f.name for f in fields(Settings)}
    unknown = sorted(set(raw) - known)
    if unknown:
        listed, valid = ", ".join(unknown), ", ".join(sorted(known))
        raise UsageError(f"The settings file {source} has unknown settings: {listed}; known are {valid}.")
    for one in fields(Settings):
        if one.name in raw:
            _check(one.name, raw[one.name], one.type, source)
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    if "accepted" in given:
        given["accepted"] = tuple(_acceptance(each, source) for each in given["accepted"])
    for template in (given.get("trace_url"), *given.get("trace_links", {}).values()):
        if template is not None:
            _check_link(template, source)
    return Settings(**given)


def _acceptance(given: dict[str, Any], source: Path) -> Acceptance:
    """One table of `[[accepted]]`, checked: an acceptance that silently fits nothing, or everything, helps nobody."""
    known = {one.name for one in fields(Acceptance)}
    texts = {key: value for key, value in given.items() if key != "until"}
    if unknown := sorted(set(given) - known):
        raise UsageError(
            f"[[accepted]] in {source} has unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(known))}."
        )
    until = given.get("until")
    if isinstance(until, str):
        try:
            until = date.fromisoformat(until)
        except ValueError:
            until = None
    if not isinstance(until, date) or isinstance(until, datetime):
        raise UsageError(f"[[accepted]] in {source} needs the day until which it holds, such as until = 2027-01-31.")
    if not all(isinstance(value, str) for value in texts.values()) or not str(texts.get("reason", "")).strip():
        raise UsageError(f'[[accepted]] in {source} needs a reason, and texts only, such as reason = "OPS-12: known".')
    for key, allowed in (("locus", ("self", "inbound")), ("metric", ("latency", "error", "calls"))):
        if texts.get(key, allowed[0]) not in allowed:
            raise UsageError(f"[[accepted]] in {source} has {key} = {texts[key]!r}; it is one of {', '.join(allowed)}.")
    if not set(texts) - {"reason", "locus", "metric"}:
        raise UsageError(f"[[accepted]] in {source} would accept everything; name a service, an operation or a factor.")
    return Acceptance(until=until, **texts)


def _check_link(template: str, source: Path) -> None:
    if not template.startswith(("http://", "https://")) or "{trace_id}" not in template:
        raise UsageError(f"The link {template!r} in {source} must be a web address that holds {{trace_id}}.")


def _check(name: str, value: object, wanted: object, source: Path) -> None:
    """Refuse a value of another type: one text taken for a list of letters would silently do something else."""
    if wanted == tuple[str, ...]:
        fits, form = isinstance(value, list) and all(isinstance(item, str) for item in value), f'{name} = ["..."]'
    elif wanted == dict[str, str]:
        fits, form = isinstance(value, dict) and all(isinstance(item, str) for item in value.values()), f"[{name}]"
    elif wanted == tuple[Acceptance, ...]:
        fits = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        form = f"[[{name}]] with until, reason and what it is about"
    elif wanted == dict[str, dict[str, float]]:
        fits, form = _is_ratios(value), f'[{name}] with lines like "new-pricing" = {{on = 0.5, off = 0.5}}'
    else:
        fits, form = wanted not in (str, str | None) or isinstance(value, str), f'{name} = "..."'
    if not fits:
        raise UsageError(f"The setting {name} in {source} has the wrong type; write it as {form}.")


def _is_ratios(value: object) -> bool:
    """Whether it is a table of tables of positive numbers."""
    if not isinstance(value, dict) or not all(isinstance(ratio, dict) for ratio in value.values()):
        return False
    shares = [share for ratio in value.values() for share in ratio.values()]
    return all(isinstance(s, int | float) and not isinstance(s, bool) and 0 < s < float("inf") for s in shares)
