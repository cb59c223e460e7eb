"""The fuzzer itself, a short run of it, and every input that was once taken wrongly."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import redact_reference
from fuzz import campaign, targets
from fuzz.instrumented import counters

HERE = Path(__file__).parent
FINDINGS = sorted(path for path in (HERE / "findings").rglob("*") if path.is_file())
_RUNS = 1_500  # inputs for each way in; about half a minute with what has to be compiled


def _python(*arguments: str | Path, timeout: float = 1200) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(HERE.parent), "TRACEGUARD_HASH_KEY": redact_reference.KEY},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    """The same inputs every time, from the seeds on: nothing is wrong, and nearly all branches are reached."""
    ran = _python(
        "-m", "fuzz", "--runs", str(_RUNS), "--seed", "1", "--corpus", tmp_path / "corpus", "--findings", tmp_path
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = re.findall(r"([\d,]+) of ([\d,]+) branches reached", ran.stdout)[-1]
    reached, branches = (int(number.replace(",", "")) for number in told)
    assert reached > 0.85 * branches, ran.stdout


@pytest.mark.parametrize("file", FINDINGS, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_once_wrong_is_right(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding of the past is taken as the references take it, with much room and with little."""
    monkeypatch.setenv("TRACEGUARD_HASH_KEY", redact_reference.KEY)
    target = next(target for target in targets.TARGETS if target.name == file.parent.name)
    body = file.read_bytes()
    for tight in (False, True):
        target.judge(body, targets.attempt(target, memoryview(body), tight=tight))


def test_nothing_is_read_beyond_a_body() -> None:
    """As users run it, every seed and finding is decoded at the very end of readable memory, whole and cut off."""
    ran = _python(HERE / "at_the_edge.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout) > 1000


def test_reading_one_byte_too_far_ends_the_process() -> None:
    """The page behind a body cannot be read, so the test above can fail."""
    ran = _python(
        "-c", "import ctypes; from fuzz.guarded import GuardedMemory as G; b = G(64).place(b'abc');"
        " import numpy as np; a = np.frombuffer(b, np.uint8).ctypes.data;"
        " assert ctypes.string_at(a, 3) == b'abc'; ctypes.string_at(a, 4)",
    )  # fmt: skip
    assert ran.returncode == -signal.SIGSEGV, ran.stderr


def test_instrumented_loops_refuse_to_leave_their_arrays(tmp_path: Path) -> None:
    """An index at the end, a negative one, and eight bytes of which the last are outside: IndexError each time."""
    (tmp_path / "otlp").mkdir()
    (tmp_path / "otlp" / "planted.py").write_text(
        "from traceguard.kernels import kernel\n"
        "from traceguard.otlp.wire import BUFFER, load\n"
        "@kernel(f'uint8({BUFFER}, int64)', allocates=False)\n"
        "def at(buf, index):\n    return buf[index]\n"
        "@kernel(f'uint64({BUFFER}, int64)', allocates=False)\n"
        "def eight(buf, index):\n    return load(buf, index)\n"
    )
    ran = _python(
        "-c", "import sys; from pathlib import Path; from fuzz import instrumented\n"
        f"instrumented.install(Path({str(tmp_path)!r})); sys.path.insert(0, {str(tmp_path / 'otlp')!r})\n"
        "import numpy as np, planted\n"
        "buf = np.frombuffer(bytes(range(9)), np.uint8)\n"
        "print(planted.at(buf, 8), planted.eight(buf, 1) >> np.uint64(56))\n"
        "for loop, index in ((planted.at, 9), (planted.at, -1), (planted.eight, 2), (planted.eight, -1)):\n"
        "    try:\n        loop(buf, index); print('taken')\n"
        "    except IndexError:\n        print('refused')\n",
    )  # fmt: skip
    assert ran.stdout.split() == ["8", "8", *["refused"] * 4], ran.stderr


def test_a_campaign_finds_its_way_to_a_planted_fault(tmp_path: Path) -> None:
    """Four bytes that must all be right are found one after the other, because each lights up a branch of its own."""
    secret = b"Span"

    def run(body: memoryview) -> None:
        for place, byte in enumerate(secret):
            if len(body) <= place or body[place] != byte:
                return
            counters[place] += 1
        raise ZeroDivisionError

    target = targets.Target("planted", run, lambda _body, _rows: None)
    hunt = campaign.Campaign(target, tmp_path / "corpus", tmp_path / "findings", 1, lambda _body: None)
    hunt.take(b"????")
    for _ in range(100_000):
        hunt.step()
        if hunt.findings:
            break
    (found,) = hunt.findings.values()
    assert found == secret
    assert [file.read_bytes() for file in (tmp_path / "findings" / "planted").iterdir()] == [secret]
