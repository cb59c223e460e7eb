"""What a team configures once: which attributes identify a user, how flags are tagged, what to leave out.

Read from `traceguard.toml` in the current folder (or the file that `$TRACEGUARD_CONFIG` names); command-line options
win over it.
"""

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from traceguard.errors import UsageError

UNIT_KEYS = ("session.id", "user.id", "enduser.id", "enduser.pseudo.id")
CORRELATION_KEYS = (
    *UNIT_KEYS, "http.request.header.x-request-id", "http.request.header.x-correlation-id", "guid:x-request-id",
    "messaging.message.conversation_id", "correlation.id", "tenant.id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings with the field's defaults.

    `unit_keys` are tried in order when no flag evaluation names its context; `correlation_keys` are the attributes kept
    in the `correlations` table at ingest; `flag_prefixes` mark plain span attributes `PREFIX<flag> = <variant>` as flag
    state. `drop_attributes` and `hash_attributes` are keys, or patterns with `*`, that ingest keeps from the store;
    the key of the hashes comes from `$TRACEGUARD_HASH_KEY` or from `hash_key_file`. `keep` and `max_size` are what
    `serve` and `prune` leave in a store, such as `7d` and `50GB`; without them it is everything.

    `leave_out_entries` are entry points that do not count (operations, or "service operation", `*` being any text),
    such as health checks; `leave_out_attributes` does the same by an attribute of the root, such as
    `"user_agent.synthetic.type" = "*"` for the synthetic traffic of OpenTelemetry's conventions. Nothing is left out by
    default. `sample_rate_keys` are attributes of the root that state its sample rate: from 1 on N of 1-in-N
    (Honeycomb's `SampleRate`), below 1 a probability (Jaeger's `sampler.param` of its probabilistic sampler); the
    first one found wins, also over the trace state's `ot=th:`, which needs no setting. `attributes` are those that
    requests are compared by and causes narrowed down to, such as `tenant.id` and `region`. `expected_ratio` states in
    what ratio units should get a flag's variants, such as `"new-pricing" = {on = 0.5, off = 0.5}`; a report warns where
    they do not.
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
    trace_url: str | None = None
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
    return Settings(**given)


def _check(name: str, value: object, wanted: object, source: Path) -> None:
    """Refuse a value of another type: one text taken for a list of letters would silently do something else."""
    if wanted == tuple[str, ...]:
        fits, form = isinstance(value, list) and all(isinstance(item, str) for item in value), f'{name} = ["..."]'
    elif wanted == dict[str, str]:
        fits, form = isinstance(value, dict) and all(isinstance(item, str) for item in value.values()), f"[{name}]"
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
