"""Who may do what: bearer tokens to write, to read and to administer, and TLS for both ports.

What always holds: as soon as there is one token, every request but the health checks needs one; a token does what its
role says and no more, except that an administrator's does everything. Tokens are kept as digests only, and compared
with all known ones in constant time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Literal, Self

from traceguard.errors import UsageError
from traceguard.server.intake.refusal import Forbidden, Unauthenticated
from traceguard.store import tls

Role = Literal["write", "read", "admin"]

# A role, what it may do, and the variable that holds its tokens.
_MAY: dict[Role, str] = {"write": "write", "read": "read", "admin": "administer"}
_VARIABLES: dict[Role, str] = {role: f"TRACEGUARD_{role.upper()}_TOKEN" for role in _MAY}

_SHORTEST = 16
_MAKE_ONE = "make one with `openssl rand -hex 32`"

# RFC 6750, section 2.1: what may stand behind `Bearer`.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of both ports: the server's chain and key, and who signs the clients' certificates, if they need one.

    UsageError if a file cannot be used.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        tls.server_context(self.certificate, self.key, self.client_ca)

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None, client_ca: Path | None) -> Self | None:
        """From the options; None without any, UsageError if one is missing."""
        if certificate is None and key is None and client_ca is None:
            return None
        if certificate is None or key is None:
            raise UsageError("TLS takes a certificate and its key; name both, --tls-cert FILE and --tls-key FILE.")
        return cls(certificate, key, client_ca)


@dataclass(frozen=True, slots=True)
class Access:
    """Known tokens by role, as digests, and TLS. Without any, whoever reaches the ports may write and read."""

    digests: tuple[tuple[bytes, Role], ...] = field(default=(), repr=False)
    tls: Tls | None = None

    @classmethod
    def of(
        cls, *, write: str | None = None, read: str | None = None, admin: str | None = None, tls: Tls | None = None
    ) -> Self:
        """From tokens as text, one a line; UsageError for short or odd ones, and if nobody could write or read."""
        given: dict[Role, str | None] = {"write": write, "read": read, "admin": admin}
        known = ((role, text) for role, text in given.items() if text is not None)
        return cls._from({role: _tokens(text, f"The token to {_MAY[role]}") for role, text in known}, tls)

    @classmethod
    def load(cls, files: Mapping[Role, Path | None], environ: Mapping[str, str], tls: Tls | None = None) -> Self:
        """From files of tokens and, for roles without a file, from variables such as `TRACEGUARD_WRITE_TOKEN`."""
        return cls._from({role: found for role in _MAY if (found := _given(role, files.get(role), environ))}, tls)

    @classmethod
    def _from(cls, tokens: Mapping[Role, list[str]], tls: Tls | None) -> Self:
        for role in ("write", "read"):
            if tokens and "admin" not in tokens and role not in tokens:
                raise UsageError(
                    f"There is no token to {role}, and every request needs one as soon as there is any;"
                    f" set {_VARIABLES[role]} or {_VARIABLES['admin']}, too."
                )
        return cls(tuple((_digest(token), role) for role, known in tokens.items() for token in known), tls)

    @property
    def certified(self) -> bool:
        """Whether clients must show a certificate."""
        return self.tls is not None and self.tls.client_ca is not None

    @property
    def protected(self) -> bool:
        """Whether strangers who reach the ports are kept out."""
        return bool(self.digests) or self.certified

    def check(self, role: Role, token: str | None) -> None:
        """Unauthenticated without a known token, Forbidden with one of another role; nothing if no tokens are set."""
        if not self.digests:
            return
        if token is None:
            raise Unauthenticated(f"A token to {_MAY[role]} is needed; send it as `Authorization: Bearer TOKEN`.")
        digest = _digest(token)
        # All are compared, whatever the first ones say: the time tells nothing about them.
        roles = {known_role for known, known_role in self.digests if compare_digest(known, digest)}
        if not roles:
            raise Unauthenticated("The token is not known here; correct it.")
        if role not in roles and "admin" not in roles:
            may = " and ".join(_MAY[known] for known in _MAY if known in roles)
            raise Forbidden(f"This token may {may}; use one that may {_MAY[role]}.")

    def __str__(self) -> str:
        """What protects the ports, as a sentence."""
        parts = []
        if self.tls is not None:
            parts.append("connections are TLS")
        if self.certified:
            parts.append("clients show a certificate")
        if self.digests:
            roles = [role for _, role in self.digests]
            known = ", ".join(f"{roles.count(role) or 'none'} to {_MAY[role]}" for role in _MAY)
            parts.append(f"every request needs a token (known: {known})")
        elif not self.certified:
            parts.append("no token is needed")
        sentence = "; ".join(parts)
        return f"{sentence[0].upper()}{sentence[1:]}."


def _given(role: Role, file: Path | None, environ: Mapping[str, str]) -> list[str]:
    variable = _VARIABLES[role]
    if file is None:
        return _tokens(environ[variable], variable) if variable in environ else []
    if variable in environ:
        raise UsageError(f"Tokens to {_MAY[role]} come from both {variable} and {file}; keep one of the two.")
    try:
        return _tokens(tls.read(file, "The token file").decode(), str(file))
    except UnicodeDecodeError:
        raise UsageError(f"The token file {file} is not text; write one token a line.") from None


def _tokens(text: str, source: str) -> list[str]:
    """Tokens, one a line; blank lines and comments (`# since May`) do not count. No sentence ever shows a token."""
    found = [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]
    if not found:
        raise UsageError(f"{source} holds no token; {_MAKE_ONE}, or leave it out.")
    if not all(_TOKEN.fullmatch(token) for token in found):
        raise UsageError(f"{source}: a token has only letters, digits and -._~+/, one token a line; {_MAKE_ONE}.")
    if min(map(len, found)) < _SHORTEST:
        raise UsageError(f"{source}: a token has {_SHORTEST} characters or more, lest it be guessed; {_MAKE_ONE}.")
    return found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
