"""The promises of the command line: exit codes, where output goes, and examples that work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = [
    "demo", "serve", "ingest", "report", "graph", "blast-radius", "what-if", "plan", "query", "notebook", "snapshot",
    "forget",
    "prune",
]  # fmt: skip
DOCUMENTS = {
    "report": ["report"],
    "graph": ["graph"],
    "graph-slices": ["graph", "--every", "5m"],
    "graph-diff": [
        "graph",
        "--baseline",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
        "--candidate",
        "2026-05-04T10:05:00Z/2026-05-04T10:10:00Z",
    ],
    "blast-radius": ["blast-radius", "--service", "pricing"],
    "what-if": ["what-if", "--service", "pricing", "--delay", "50ms"],
    "plan": ["plan", "--service", "pricing", "--delay", "50ms"],
    "query": ["query", "services"],
}


def refused(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """Assert that a command refused: its code, nothing on standard output, no traceback. Returns what it said."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_every_command_of_the_interface_is_there(run: Run) -> None:
    """The help lists exactly the commands of the interface."""
    listed = re.findall(r"^  ([a-z-]+)  +\S", run("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert listed == COMMANDS


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["report", "--no-such-option"],
        ["report", "--alpha", "often"],
        ["report", "--format", "pdf"],
        ["report", "-o", "no/such/folder/report.html"],
        ["graph", "--every", "often"],
        ["graph", "--every", "5m", "--format", "dot"],
        ["graph", "--baseline", "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z"],
        ["blast-radius"],
        ["blast-radius", "--service", "pricing", "--flag", "new-pricing"],
        ["blast-radius", "--flag", "new-pricing", "--operation", "ComputeQuote"],
        ["blast-radius", "--service", "pricing", "--read-by", "cart"],
        ["what-if", "--delay", "50ms"],
        ["what-if", "--service", "pricing", "--delay", "-50ms"],
        ["what-if", "--service", "pricing", "--exposure", "1.5"],
        ["what-if", "--service", "pricing", "--largest", "delay"],
        ["what-if", "--flag", "new-pricing", "--delay", "50ms"],
        ["what-if", "--service", "pricing", "--slo", "nowhere.yaml"],
        ["plan"],
        ["plan", "--service", "pricing", "--flag", "new-pricing"],
        ["plan", "--service", "pricing", "--delay", "20ms", "--error-rate", "1%"],
        ["plan", "--service", "pricing", "--delay", "-20ms"],
        ["plan", "--service", "pricing", "--delay", "9999999h"],
        ["plan", "--service", "pricing", "--delay", "9" * 400 + "h"],
        ["plan", "--service", "pricing", "--step-time", "9000h"],
        ["plan", "--service", "pricing", "--read-by", "cart"],
        ["plan", "--service", "pricing", "--power", "120%"],
        ["plan", "--service", "pricing", "--steps", "5%,150%"],
        ["plan", "--service", "pricing", "--steps", "5%,1%"],
        ["plan", "--service", "pricing", "--step-time", "0h"],
        ["plan", "--service", "pricing", "--most-users", "some"],
        ["query", "services", "--param", "service"],
        ["query", "services", "--format", "parquet"],
        ["ingest", ".", "--db", "http://127.0.0.1:4318"],
    ],
)
def test_bad_usage_ends_with_2(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    """Arguments that cannot be used end with 2, one clear sentence and an empty standard output."""
    assert "Error: " in refused(run(*arguments, cwd=tmp_path))


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_missing_store_is_named(run: Run, tmp_path: Path, kind: str) -> None:
    """A store that is not there ends with 2 and a sentence that names it and says how to make one."""
    said = refused(run(*DOCUMENTS[kind], "--db", "nowhere.duckdb", cwd=tmp_path))
    assert "nowhere.duckdb" in said
    assert "traceguard ingest" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("db", [".", "s3://traces/lake"])
def test_a_lake_is_refused_in_one_sentence(run: Run, tmp_path: Path, db: str) -> None:
    """A folder or a lake's URL ends with 2 and says that lakes are not read yet."""
    assert "does not read yet" in refused(run("report", "--db", db, cwd=tmp_path))


def test_a_server_that_is_not_there_is_named(run: Run) -> None:
    """A server's URL where nobody answers ends with 2 and names the URL."""
    assert "http://127.0.0.1:9" in refused(run("report", "--db", "http://127.0.0.1:9"))


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_json_stands_alone_on_standard_output(run: Run, shop: Path, kind: str) -> None:
    """With `--format json`, standard output is one JSON document; the store may be named by the environment."""
    done = run(*DOCUMENTS[kind], "--format", "json", env={"TRACEGUARD_DB": str(shop)})
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document
    if kind in {"report", "blast-radius", "what-if", "plan"}:
        assert document["schema_version"] == 1


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_file_takes_the_result_whole(run: Run, shop: Path, tmp_path: Path, kind: str) -> None:
    """`-o FILE` writes what standard output would have got, in the format that the file's name ends with."""
    out = tmp_path / f"{kind}.json"
    done = run(*DOCUMENTS[kind], "--db", shop, "-o", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert json.loads(out.read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name]


def test_a_regression_fails_only_where_asked(run: Run, shop: Path) -> None:
    """`report` ends with 0 on a regression, and with 3 under `--fail-on-regression`; both print the document."""
    calm, strict = run("report", "--db", shop), run("report", "--db", shop, "--fail-on-regression")
    assert (calm.returncode, strict.returncode) == (0, 3), calm.stderr + strict.stderr
    assert calm.stdout == strict.stdout != ""


def test_what_is_accepted_does_not_fail(run: Run, shop: Path, tmp_path: Path) -> None:
    """`[[accepted]]` turns exit 3 into 0 until its day; the verdict stays."""
    for until, code in (("2999-01-01", 0), ("2001-01-01", 3)):
        (tmp_path / "traceguard.toml").write_text(
            f'[[accepted]]\nfactor = "new-pricing"\nuntil = {until}\nreason = "OPS-12"\n', encoding="utf-8"
        )
        done = run("report", "--db", shop, "--fail-on-regression", "--format", "json", cwd=tmp_path)
        assert done.returncode == code, done.stderr
        document = json.loads(done.stdout)
        assert document["verdict"] == "regression"
        assert (document["causes"][0]["accepted"] is not None) == (code == 0)
        assert ("acceptance_ended" in {w["code"] for w in document["warnings"]}) == (code == 3)


def test_a_report_is_held_against_an_older_one(run: Run, shop: Path, tmp_path: Path) -> None:
    """`--against` takes what `--format json` wrote; a wrong file ends with 2 and its name, before anything is read."""
    old = tmp_path / "old.json"
    assert run("report", "--db", shop, "-o", old).returncode == 0
    done = run("report", "--db", shop, "--against", old, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [c["change"] for c in json.loads(done.stdout)["against"]["causes"]] == ["as_before"]
    refused = run("report", "--db", shop, "--against", tmp_path / "none.json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "none.json" in refused.stderr


@pytest.mark.parametrize("kind", ["report", "graph", "blast-radius"])
def test_no_data_ends_with_5_and_the_document(run: Run, shop: Path, kind: str) -> None:
    """A window without a single request ends with 5 and still prints the complete document."""
    done = run(*DOCUMENTS[kind], "--db", shop, "--until", "2001-01-01T00:00:00Z", "--format", "json")
    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout) is not None


@pytest.mark.parametrize("name", ["services", "totals", "entry_points", "slowest_operations"])
def test_a_query_without_any_span_ends_with_5_and_the_document(run: Run, shop: Path, name: str) -> None:
    """A period before the first span ends a query with 5; the result is complete, with its column names."""
    done = run("query", name, "--db", shop, "--until", "2001-01-01T00:00:00Z", "--format", "csv")
    assert done.returncode == 5, done.stderr
    assert len(done.stdout.splitlines()) == (2 if name == "totals" else 1)


def test_rows_that_nothing_matches_are_no_error(run: Run, shop: Path) -> None:
    """A query that finds nothing among spans has answered."""
    done = run("query", "requests_of", "--db", shop, "--param", "value=nobody", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


@pytest.mark.parametrize("command", [["report"], ["query", "services"]])
def test_an_empty_window_is_called_empty(run: Run, shop: Path, command: list[str]) -> None:
    """A window that ends where it starts holds no time, and the sentence says that."""
    moment = "2026-11-23T12:00:00Z"
    assert "window is empty" in refused(run(*command, "--db", shop, "--since", moment, "--until", moment))


@pytest.mark.parametrize("limit", ["-1", "99999999999999999999"])
def test_a_limit_that_cannot_be_is_refused(run: Run, shop: Path, limit: str) -> None:
    """A number of rows below zero or beyond counting is one sentence, and no failure inside."""
    said = refused(run("query", "slowest_operations", "--db", shop, "--param", f"limit={limit}"))
    assert "0 or more" in said


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_the_help_fits_80_columns(run: Run, command: list[str]) -> None:
    """Help reads well in the narrowest terminal that people have, also where this one is wider."""
    done = run(*command, "--help", env={"COLUMNS": "200"})
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert ("running server's URL" in done.stdout) == (command not in ([], ["demo"], ["serve"], ["ingest"], ["prune"]))


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["blast-radius", "--service", "pricin"], "pricing"),
        (["blast-radius", "--flag", "new-pricin"], "new-pricing"),
        (["blast-radius", "--flag", "new-pricin"], "--read-by"),
        (["blast-radius", "--service", "pricing", "--operation", "ComputeQuot"], "ComputeQuote"),
        (["blast-radius", "--flag", "new", "--read-by", "pricin"], "pricing"),
        (["blast-radius", "--service", "pricing", "--time-zone", "Europe/Berln"], "Europe/Berlin"),
        (["blast-radius", "--service", "pricing", "--attribute", "tenant"], "tenant"),
        (["what-if", "--service", "pricin", "--delay", "50ms"], "pricing"),
        (["what-if", "--service", "pricing", "--operation", "Quote"], "ComputeQuote"),
        (["what-if", "--flag", "new-pricin"], "new-pricing"),
        (["what-if", "--service", "pricing", "--slo", "POST /chekout: p99<1s"], "POST /checkout"),
        (["plan", "--service", "pricin"], "pricing"),
        (["plan", "--flag", "new-pricin"], "new-pricing"),
        (["plan", "--flag", "new-pricin"], "--read-by"),
        (["plan", "--flag", "new", "--read-by", "pricin"], "pricing"),
        (["report", "--flag", "new-pricin"], "new-pricing"),
        (["report", "--reference", "new-pricin=on"], "new-pricing"),
        (["query", "service"], "services"),
        (["query", "slowest_operations", "--param", "service=pricin"], "pricing"),
        (["query", "flags", "--param", "flag=new-pricin"], "new-pricing"),
        (["query", "services", "--env", "nowhere"], "environment"),
    ],
)
def test_an_unknown_name_offers_the_nearest(run: Run, shop: Path, arguments: list[str], near: str) -> None:
    """A name that the store does not know ends with 2 and offers the one that was probably meant."""
    assert near in refused(run(*arguments, "--db", shop))


def test_what_if_offers_no_option_that_it_lacks(run: Run, shop: Path) -> None:
    """Only commands that take --read-by say that a flag may be new."""
    assert "--read-by" not in refused(run("what-if", "--flag", "to-come", "--exposure", "50%", "--db", shop))


def test_parquet_goes_to_a_file(run: Run, shop: Path, tmp_path: Path) -> None:
    """A query's rows can be written as Parquet, with the types that the store has."""
    import polars as pl

    out = tmp_path / "services.parquet"
    assert run("query", "services", "--db", shop, "-o", out).returncode == 0
    assert "pricing" in pl.read_parquet(out)["service"].to_list()


def test_a_reader_that_leaves_is_no_error(shop: Path) -> None:
    """When whoever reads the output stops reading, the command ends quietly."""
    command = shlex.join(
        [sys.executable, "-m", "traceguard", "query", "flag_evaluations", "--format=json", f"--db={shop}"]
    )
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "["
    assert done.stderr == ""


def test_a_bug_is_told_in_one_sentence(run: Run, tmp_path: Path) -> None:
    """What nobody foresaw ends with 1, one sentence, and the way to see the traceback."""
    # A package that shadows the store with something broken stands for any bug.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['traceguard.report'] = object()\n", encoding="utf-8"
    )
    broken = {"PYTHONPATH": str(tmp_path)}
    said = refused(run("report", env=broken), code=1)
    assert "TRACEGUARD_DEBUG=1" in said
    assert "Traceback" in run("report", env=broken | {"TRACEGUARD_DEBUG": "1"}).stderr


def examples(run: Run, command: str) -> list[str]:
    """The example lines of a command's help."""
    return re.findall(r"^    (\S.*traceguard .*|traceguard .*)$", run(command, "--help").stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in {"demo", "serve", "notebook"}])
def test_the_examples_of_the_help_work(run: Run, shop: Path, sample_data: Path, tmp_path: Path, command: str) -> None:
    """Every example in a command's help runs as it stands, beside the sample recording and a store made of it."""
    lines = examples(run, command)
    assert lines
    (tmp_path / "sample_data").symlink_to(sample_data)
    (tmp_path / "traces.jsonl.gz").symlink_to(sample_data / "logs.jsonl.gz")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        # Compiled loops come from where they are kept, so that an example need not compile them anew.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    }
    for line in lines:
        shutil.copy(shop, tmp_path / "shop.duckdb")
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in ({0, 3} if "--fail-on" in line else {0}), f"{line}\n{done.stderr}"


@pytest.mark.parametrize("command", ["demo", "serve", "notebook"])
def test_long_commands_show_examples(run: Run, command: str) -> None:
    """The commands that run for long show an example as well; other tests run them."""
    assert examples(run, command)


def test_an_openslo_file_gives_the_objectives(run: Run, shop: Path, tmp_path: Path) -> None:
    """`--slo FILE.yaml` reads a file; what becomes of its budget stands in the document."""
    slo = tmp_path / "checkout.yaml"
    slo.write_text(
        "apiVersion: openslo/v1\nkind: SLO\n"
        "metadata: {name: checkout, annotations: {traceguard/entry: POST /checkout}}\n"
        "spec:\n  service: frontend\n  indicator: {spec: {thresholdMetric: {}}}\n"
        "  timeWindow: [{duration: 28d}]\n  objectives: [{op: lt, value: 0.3, target: 0.99}]\n",
        encoding="utf-8",
    )
    arguments = ["what-if", "--db", shop, "--service", "pricing", "--delay", "200ms", "--slo", slo, "--format", "json"]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    (budget,) = json.loads(done.stdout)["budgets"]
    assert (budget["slo"], budget["kept_after"]) == ("frontend POST /checkout: latency<300ms for 99% in 28d", False)
    assert budget["exhausted_in_hours"] < budget["window_hours"] == 672


def test_a_known_name_without_requests_is_no_data(run: Run, shop: Path) -> None:
    """A window in which nobody calls the service ends with 5 and prints the whole document."""
    for target in (["--service", "pricing"], ["--flag", "new-pricing"]):
        done = run("what-if", "--db", shop, *target, "--until", "2001-01-01T00:00:00Z", "--format", "json")
        assert done.returncode == 5, done.stderr
        assert [w["code"] for w in json.loads(done.stdout)["warnings"]] == ["no_requests"]
