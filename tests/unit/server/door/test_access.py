"""Who may do what: tokens by role, where they come from, and the files of TLS."""

from pathlib import Path

import pytest
from builders.certificates import Authority

from traceguard.errors import UsageError
from traceguard.server import Access, Role, Server, Tls
from traceguard.server.door import access
from traceguard.server.intake.refusal import Forbidden, Unauthenticated
from traceguard.settings import load

WRITE, READ, ADMIN = "w" * 16, "r" * 16, "a" * 16
ALL = Access.of(write=WRITE, read=READ, admin=ADMIN)


@pytest.mark.parametrize(("token", "may"), [(WRITE, {"write"}), (READ, {"read"}), (ADMIN, {"write", "read", "admin"})])
def test_a_token_does_what_its_role_says(token: str, may: set[Role]) -> None:
    """Writers write, readers read, administrators do everything; another role is forbidden, not unknown."""
    for role in ("write", "read", "admin"):
        if role in may:
            ALL.check(role, token)
        else:
            with pytest.raises(Forbidden, match=f"may {access._MAY[role]}"):
                ALL.check(role, token)


@pytest.mark.parametrize("token", ["", "x" * 16, WRITE[:-1], WRITE + "w", WRITE.upper(), "\udcff" * 16])
def test_unknown_tokens_are_nobody(token: str) -> None:
    """Neither a part of a token nor a longer one will do."""
    with pytest.raises(Unauthenticated, match="not known"):
        ALL.check("write", token)
    with pytest.raises(Unauthenticated, match="is needed"):
        ALL.check("write", None)


def test_without_tokens_nothing_is_checked() -> None:
    """Roles begin with the first token."""
    Access().check("admin", None)
    assert not Access().protected


def test_one_token_may_have_two_roles() -> None:
    """Who wants one secret for both gives it twice; it still cannot administer."""
    both = Access.of(write=READ, read=READ)
    both.check("write", READ)
    both.check("read", READ)
    with pytest.raises(Forbidden, match="may write and read; use one that may administer"):
        both.check("admin", READ)


def test_tokens_are_rotated_by_having_two() -> None:
    """Several tokens of a role stand on lines of their own, between comments and blank lines."""
    rotating = Access.of(write=f"# since May\n{WRITE}\n\n  {'v' * 16}  \r\n", read=READ)
    rotating.check("write", WRITE)
    rotating.check("write", "v" * 16)
    with pytest.raises(Unauthenticated):
        rotating.check("write", "# since May")


@pytest.mark.parametrize("token", [WRITE, "v" * 16, "x" * 16])
def test_all_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """Digests of equal length go through `hmac.compare_digest`, every known one, wherever the match stands."""
    compared = []

    def counting(known: bytes, given: bytes) -> bool:
        compared.append((len(known), len(given)))
        return genuine(known, given)

    genuine = access.compare_digest
    several = Access.of(write=f"{WRITE}\n{'v' * 16}", read=READ, admin=ADMIN)
    monkeypatch.setattr(access, "compare_digest", counting)
    if token == "x" * 16:
        with pytest.raises(Unauthenticated):
            several.check("write", token)
    else:
        several.check("write", token)
    assert compared == [(32, 32)] * 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("short", "16 characters or more"),
        (f"{WRITE}\nshort", "16 characters or more"),
        ("with spaces in between", "one token a line"),
        ("pässwörter-mit-umlauten", "letters, digits"),
        ("", "holds no token"),
        ("\n# only a comment\n", "holds no token"),
    ],
)
def test_unsafe_tokens_are_refused_in_words_that_do_not_show_them(text: str, sentence: str) -> None:
    """What can be guessed or cannot be sent is refused with a way to make a better one."""
    with pytest.raises(UsageError, match=sentence) as caught:
        Access.of(write=text, read=READ)
    assert "openssl rand -hex 32" in str(caught.value)
    assert not any(part in str(caught.value) for part in ("short;", "spaces", "wörter", "comment"))


@pytest.mark.parametrize(("given", "missing"), [({"write": WRITE}, "to read"), ({"read": READ}, "to write")])
def test_a_server_that_nobody_could_write_to_or_read_from_is_refused(given: dict[str, str], missing: str) -> None:
    """As soon as there is a token, every request needs one; an administrator's is enough."""
    with pytest.raises(UsageError, match=f"no token {missing}.*TRACEGUARD_ADMIN_TOKEN"):
        Access.of(**given)
    Access.of(**given, admin=ADMIN)
    Access.of(admin=ADMIN)


def test_tokens_come_from_files_and_the_environment(tmp_path: Path) -> None:
    """A role takes its tokens from a file or from its variable, and not from both."""
    file = tmp_path / "write"
    file.write_text(f"{WRITE}\n")
    environ = {"TRACEGUARD_READ_TOKEN": READ, "TRACEGUARD_TOKEN": "for clients"}
    found = Access.load({"write": file, "read": None}, environ)
    assert found == Access.of(write=WRITE, read=READ)
    assert Access.load({}, {}) == Access()
    with pytest.raises(UsageError, match="come from both TRACEGUARD_WRITE_TOKEN and"):
        Access.load({"write": file}, {"TRACEGUARD_WRITE_TOKEN": WRITE})


def test_a_source_without_a_token_is_named(tmp_path: Path) -> None:
    """An empty variable or file protects nothing, and is refused instead of being passed over."""
    with pytest.raises(UsageError, match="TRACEGUARD_WRITE_TOKEN holds no token"):
        Access.load({}, {"TRACEGUARD_WRITE_TOKEN": ""})
    file = tmp_path / "tokens"
    with pytest.raises(UsageError, match=f"{file} cannot be read .No such file"):
        Access.load({"read": file}, {})
    file.write_bytes(b"\n")
    with pytest.raises(UsageError, match=f"{file} holds no token"):
        Access.load({"read": file}, {})
    file.write_bytes(b"\xff" * 32)
    with pytest.raises(UsageError, match=f"{file} is not text"):
        Access.load({"read": file}, {})


def test_tokens_are_not_settings(tmp_path: Path) -> None:
    """The file of settings is read by many; a token in it is refused, without being shown."""
    file = tmp_path / "traceguard.toml"
    file.write_text(f'write_token = "{WRITE}"\n')
    with pytest.raises(UsageError, match="unknown settings: write_token") as caught:
        load(file)
    assert WRITE not in str(caught.value)


def test_access_tells_no_token() -> None:
    """Neither what it prints for people nor for programmers holds a token or its digest."""
    assert str(ALL) == "Every request needs a token (known: 1 to write, 1 to read, 1 to administer)."
    assert str(Access()) == "No token is needed."
    assert repr(ALL) == "Access(tls=None)"


def test_tls_files_are_checked_before_anything_starts(tmp_path: Path) -> None:
    """A file that is missing, of another make, locked or another pair's is named in one sentence."""
    authority = Authority(tmp_path)
    one, other = authority.sign("one"), authority.sign("other")
    locked = authority.sign("locked", passphrase=b"secret")
    text = tmp_path / "text"
    text.write_text("hello")
    absent = tmp_path / "absent"
    assert Tls.of(None, None, None) is None
    assert Tls.of(one.certificate, one.key, authority.certificate) == Tls(
        one.certificate, one.key, authority.certificate
    )
    for files, sentence in (
        ((one.certificate, None, None), "--tls-key"),
        ((None, one.key, None), "--tls-cert"),
        ((None, None, authority.certificate), "name both"),
        ((absent, one.key, None), f"The certificate {absent} cannot be read"),
        ((one.certificate, absent, None), f"The key {absent} cannot be read"),
        ((one.certificate, tmp_path, None), "Is a directory"),
        ((one.certificate, other.key, None), f"{other.key} does not belong to the certificate {one.certificate}"),
        ((locked.certificate, locked.key, None), f"{locked.key} is under a passphrase"),
        ((text, one.key, None), f"{text} and {one.key} are not a certificate and its key"),
        ((one.certificate, one.key, text), f"{text} holds no authority's certificate"),
        ((one.certificate, one.key, absent), f"The authority's certificate {absent} cannot be read"),
    ):
        with pytest.raises(UsageError, match=sentence):
            Tls.of(*files)


def test_a_server_says_what_protects_it(tmp_path: Path) -> None:
    """What `serve` prints: who is let in, and a warning where tokens or everything else lies open."""
    authority = Authority(tmp_path)
    pair = authority.sign("server")
    tls = Tls(pair.certificate, pair.key)
    mutual = Tls(pair.certificate, pair.key, authority.certificate)
    far, tokens = "0.0.0.0:0", {"write": WRITE, "read": READ}

    def told(http: str = "127.0.0.1:0", protected: Access | None = None, *, insecure: bool = False) -> str:
        return " ".join(Server("store.duckdb", "127.0.0.1:0", http, access=protected, insecure=insecure).protection)

    assert told() == "No token is needed."
    assert "Warning: tokens reach 0.0.0.0:0 unencrypted; add --tls-cert" in told(far, Access.of(**tokens))
    assert "Warning" not in told(protected=Access.of(**tokens))
    assert told(far, Access.of(**tokens, tls=tls)).startswith("Connections are TLS; every request needs a token (known")
    assert told(far, Access.of(tls=mutual)) == "Connections are TLS; clients show a certificate."
    assert "Warning: everyone who reaches 0.0.0.0:0 may write and read" in told(far, insecure=True)
    with pytest.raises(UsageError, match="can be reached from other machines"):
        told(far, Access.of(tls=tls))
