"""Bad input of every kind: one sentence with what to do, the right exit code, nothing lost, no traceback."""

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from traceguard.store import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]

SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "GET /",
    "kind": 2,
    "startTimeUnixNano": "1760000000000000000",
    "endTimeUnixNano": "1760000000050000000",
}
REQUEST = json.dumps(
    {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "edge"}}]},
                "scopeSpans": [{"spans": [SPAN]}],
            }
        ]
    }
)


def told(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """Assert that a command refused with `code` in one sentence that has these words."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def spans(run: Run, db: Path) -> int:
    """How many spans a store holds."""
    rows = json.loads(run("query", "services", "--db", db, "--format", "json").stdout)
    return sum(row["spans"] for row in rows)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A file with one span."""
    file = tmp_path / "good.json"
    file.write_text(REQUEST, encoding="utf-8")
    return file


def truncated(sample_data: Path, tmp_path: Path) -> Path:
    """A recording whose end is missing, inside a whole gzip stream."""
    whole = gzip.decompress((sample_data / "traces.pb.gz").read_bytes())
    file = tmp_path / "truncated.pb.gz"
    file.write_bytes(gzip.compress(whole[: len(whole) * 2 // 3]))
    return file


def cut(sample_data: Path, tmp_path: Path) -> Path:
    """A compressed recording that was not copied to its end."""
    file = tmp_path / "cut.pb.gz"
    file.write_bytes((sample_data / "traces.pb.gz").read_bytes()[:5_000])
    return file


def not_otlp(_: Path, tmp_path: Path) -> Path:
    """Some other file."""
    file = tmp_path / "notes.txt"
    file.write_text("Dear diary,\n", encoding="utf-8")
    return file


def other_json(_: Path, tmp_path: Path) -> Path:
    """JSON, but nothing that spans could be in."""
    file = tmp_path / "package.json"
    file.write_text('{"name": "shop", "version": "1.0.0"}', encoding="utf-8")
    return file


@pytest.mark.parametrize("make", [truncated, cut, not_otlp, other_json])
def test_a_named_bad_file_is_named_and_the_good_ones_go_in(
    run: Run, good: Path, sample_data: Path, tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    """`ingest` ends with 2 and names the bad file; nothing of it is in the store, and all of the good file."""
    bad = make(sample_data, tmp_path)
    db = tmp_path / "some.duckdb"
    told(run("ingest", bad, good, "--db", db), bad.name)
    assert spans(run, db) == 1


def test_a_folder_is_searched_and_other_files_are_skipped_aloud(run: Run, good: Path, tmp_path: Path) -> None:
    """In a folder, what is not OTLP is skipped with a warning; it is no error."""
    not_otlp(tmp_path, tmp_path)
    db = tmp_path / "elsewhere.duckdb"
    done = run("ingest", tmp_path, "--db", db)
    assert done.returncode == 0, done.stderr
    assert "notes.txt" in done.stderr
    assert good.name not in done.stderr
    assert spans(run, db) == 1


def test_a_cut_off_file_in_a_folder_is_named_and_the_good_ones_go_in(
    run: Run, good: Path, sample_data: Path, tmp_path: Path
) -> None:
    """A compressed recording that was not copied to its end is no other file to be skipped."""
    bad = cut(sample_data, tmp_path)
    small = tmp_path / "small.json.gz"
    small.write_bytes(gzip.compress(REQUEST.encode())[:100])
    db = tmp_path.parent / f"{tmp_path.name}.duckdb"
    done = run("ingest", tmp_path, "--db", db)
    told(done, bad.name, small.name)
    assert "holds no OTLP" not in done.stderr
    assert good.name not in done.stderr
    assert spans(run, db) == 1


def test_what_is_not_loaded_is_told(run: Run, good: Path, tmp_path: Path) -> None:
    """An empty file and metrics among traces are no error; each gets one sentence on standard error."""
    (tmp_path / "empty.json").touch()
    metrics = json.dumps({"resourceMetrics": [{"scopeMetrics": []}]})
    (tmp_path / "mixed.jsonl").write_text(f"{metrics}\n{REQUEST}\n{metrics}\n", encoding="utf-8")
    db = tmp_path / "some.duckdb"
    done = run("ingest", tmp_path / "empty.json", tmp_path / "mixed.jsonl", good, "--db", db)
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert "empty.json: it is empty" in first
    assert "mixed.jsonl: it holds metrics" in second
    assert spans(run, db) == 1


def test_standard_input_is_a_file_like_others(run: Run, tmp_path: Path) -> None:
    """`-` reads standard input, and what is wrong with it is told like with any file."""
    db = tmp_path / "some.duckdb"
    assert run("ingest", "-", "--db", db, stdin=REQUEST).returncode == 0
    assert spans(run, db) == 1
    told(run("ingest", "-", "--db", db, stdin="Dear diary,"))
    assert spans(run, db) == 1


def test_a_missing_file_is_named(run: Run, tmp_path: Path) -> None:
    """A path that does not exist ends with 2 and is named."""
    told(run("ingest", tmp_path / "nowhere.json", "--db", tmp_path / "some.duckdb"), "nowhere.json")


def test_loading_twice_counts_once(run: Run, good: Path, tmp_path: Path) -> None:
    """The same file again adds nothing that a query would count."""
    db = tmp_path / "some.duckdb"
    for _ in range(2):
        assert run("ingest", good, "--db", db).returncode == 0
    assert spans(run, db) == 1


def test_an_empty_store_is_no_data(run: Run, tmp_path: Path) -> None:
    """A store without a span answers with the whole document and 5."""
    db = tmp_path / "empty.duckdb"
    open_store(db, mode="write").close()
    done = run("report", "--db", db, "--format", "json")
    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["verdict"] == "no_data"
    assert run("graph", "--db", db).returncode == 5
    assert run("query", "flags", "--db", db).returncode == 5


def test_nothing_to_load_makes_no_store(run: Run, tmp_path: Path) -> None:
    """An empty folder ends with 5 and a missing file with 2; neither leaves a store behind that looks like one."""
    (tmp_path / "empty").mkdir()
    db = tmp_path / "none.duckdb"
    nothing = run("ingest", tmp_path / "empty", "--db", db)
    assert (nothing.returncode, "from 0 files" in nothing.stdout) == (5, True)
    missing = run("ingest", tmp_path / "missing.json", "--db", db)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "missing.json" in missing.stderr
    assert not db.exists()


def test_an_address_is_no_file(run: Run, tmp_path: Path) -> None:
    """Who names a server without http:// is told how to write it."""
    done = run("report", "--db", "localhost:4318", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "http://localhost:4318" in done.stderr


def test_a_store_of_a_newer_program_is_refused(run: Run, good: Path, tmp_path: Path) -> None:
    """A schema from the future ends with 2 and says to upgrade; the store is left as it is."""
    db = tmp_path / "new.duckdb"
    run("ingest", good, "--db", db)
    with duckdb.connect(str(db)) as connection:
        connection.execute("INSERT INTO schema_version (version, program) VALUES (9999, '99.0.0')")
    before = db.read_bytes()
    told(run("report", "--db", db), "new.duckdb", "newer")
    told(run("ingest", good, "--db", db), "new.duckdb", "newer")
    assert db.read_bytes() == before


def test_a_file_that_is_no_store_is_refused_and_kept(run: Run, good: Path, tmp_path: Path) -> None:
    """Neither a text file nor somebody else's database becomes a store."""
    text = not_otlp(tmp_path, tmp_path)
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE customers (name VARCHAR)")
    for file in (text, other):
        before = file.read_bytes()
        told(run("report", "--db", file), file.name)
        told(run("ingest", good, "--db", file), file.name)
        assert file.read_bytes() == before
