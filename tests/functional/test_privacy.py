"""Rules of privacy from the settings file to the bytes on disk, through `ingest` and through `serve`."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from builders.live import PROTOBUF, Live
from builders.otlp import make_span, trace_request

from traceguard.otlp.redact import hashed
from traceguard.server import Server
from traceguard.settings import Settings, load

Run = Callable[..., subprocess.CompletedProcess[str]]

KEY = "00112233445566778899aabbccddeeff"
USER, MAIL = "user-4711-MARK", "zoe-MARK@example.org"
RULES = 'drop_attributes = ["*mail*"]\nhash_attributes = ["user.id", "feature_flag.context.id"]\n'
REQUEST = trace_request(
    make_span(
        {"user.id": USER, "user.email": MAIL, "kept": "yes"},
        events=[("feature_flag", {"feature_flag.key": "f", "feature_flag.context.id": USER, "mail": MAIL})],
    ),
    resource={"service.name": "cart", "owner.email": MAIL},
).SerializeToString()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules and a recording."""
    (tmp_path / "traceguard.toml").write_text(RULES, encoding="utf-8")
    (tmp_path / "spans.pb").write_bytes(REQUEST)
    return tmp_path


def stored(db: Path) -> dict[str, str]:
    """What a store holds of the span; neither the user nor the address is anywhere in the file's bytes."""
    for file in db.parent.glob(f"{db.name}*"):
        assert b"MARK" not in file.read_bytes()
    with duckdb.connect(str(db), read_only=True) as connection:
        found = connection.sql(
            "SELECT s.attributes, c.value, f.context_id FROM spans s JOIN correlations c USING (trace_id)"
            " JOIN flag_records f USING (trace_id)"
        ).fetchall()
    ((attributes, unit, context),) = found
    return {"unit": unit, "context": context, **json.loads(attributes)}


def test_ingest_keeps_hidden_attributes_out_of_the_file(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped ones are gone, hashed ones are one unit, the rest is there."""
    db = folder / "shop.duckdb"
    done = run("ingest", "spans.pb", "--db", db, cwd=folder, env={"TRACEGUARD_HASH_KEY": KEY})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    monkeypatch.setenv("TRACEGUARD_HASH_KEY", KEY)
    digest = hashed(USER, Settings())
    assert stored(db) == {"unit": digest, "context": digest, "user.id": digest, "kept": "yes"}


def test_a_server_hashes_alike_in_another_process(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same key gives the same hash over HTTP as from a file."""
    monkeypatch.setenv("TRACEGUARD_HASH_KEY", KEY)
    live, loaded = folder / "live.duckdb", folder / "loaded.duckdb"
    with Server(live, "127.0.0.1:0", "127.0.0.1:0", load(folder / "traceguard.toml")) as server:
        answer = Live.of(server, live).http("POST", "/v1/traces", REQUEST, content_type=PROTOBUF)
    assert answer.status == 200
    run("ingest", "spans.pb", "--db", loaded, cwd=folder, env={"TRACEGUARD_HASH_KEY": KEY})
    assert stored(live) == stored(loaded)


@pytest.mark.parametrize("command", [("ingest", "spans.pb"), ("serve",)])
def test_hash_rules_without_a_key_stop_the_start(run: Run, folder: Path, command: tuple[str, ...]) -> None:
    """One sentence says how to make a key; no store is made."""
    done = run(*command, "--db", "shop.duckdb", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no key: set TRACEGUARD_HASH_KEY" in done.stderr
    assert "openssl rand -hex 32" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "shop.duckdb").exists()


def test_rules_that_blind_reports_are_told_and_obeyed(run: Run, folder: Path) -> None:
    """A pattern that is too broad costs a sentence, not the data."""
    (folder / "traceguard.toml").write_text('drop_attributes = ["service.*", "user.*"]', encoding="utf-8")
    done = run("ingest", "spans.pb", "--db", folder / "shop.duckdb", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "The settings hide service.name, service.version, user.id, which reports are made from" in done.stderr
