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
    state.
    """

    unit_keys: tuple[str, ...] = UNIT_KEYS
    correlation_keys: tuple[str, ...] = CORRELATION_KEYS
    flag_prefixes: tuple[str, ...] = ("feature_flag.", "flag.evaluation.")
    leave_out_entries: tuple[str, ...] = ()
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
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return Settings(**given)
