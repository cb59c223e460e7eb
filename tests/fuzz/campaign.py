"""A run of the fuzzer: inputs that reach something new are kept and changed again, what is wrong is written down."""

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fuzz.guarded import GuardedMemory
from fuzz.instrumented import counters, places
from fuzz.mutations import LARGEST, Mutator, shorter
from fuzz.seeds import seeds
from fuzz.targets import Target, WrongError, attempt
from numpy.typing import NDArray

# A counter tells something new when it reaches one of these for the first time.
_STEPS = np.array([1, 2, 3, 4, 8, 16, 32, 128, 1024])
_MOST_FINDINGS = 5  # of one target; more say nothing new
_SHRINKS = 3_000


class Campaign:
    """All inputs of one target that reached something, and what went wrong; deterministic for a seed."""

    def __init__(self, target: Target, folder: Path, findings: Path, seed: int, note: Callable[[bytes], None]) -> None:
        self.target = target
        self.findings: dict[str, bytes] = {}
        self.runs = 0
        self._folder = folder
        self._found = findings
        self._note = note
        self._chance = random.Random(f"{seed} {target.name}")
        self._mutator = Mutator(self._chance, textual=target.textual)
        self._memory = GuardedMemory(4 * LARGEST)
        self._seen = np.zeros((len(places), len(_STEPS) + 1), np.bool_)
        self._corpus: list[bytes] = []

    @property
    def size(self) -> int:
        """How many inputs are kept."""
        return len(self._corpus)

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Which branches some input reached."""
        return self._seen[:, 1:].any(axis=1)

    def load(self, folders: list[Path]) -> None:
        """Run the seeds and what earlier runs kept, the smallest first; those stay that are worth it."""
        files = [file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.is_file()]
        bodies = {file.read_bytes() for file in files} | set(seeds(self.target.name))
        for body in sorted(bodies, key=lambda body: (len(body), body)):
            self.take(body)

    def step(self) -> None:
        """Change one input and see."""
        recent = self._chance.random() < 0.3
        first = max(0, len(self._corpus) - 30) if recent else 0
        body = self._corpus[self._chance.randrange(first, len(self._corpus))] if self._corpus else b""
        other = self._chance.choice(self._corpus) if self._corpus else b""
        self.take(self._mutator.changed(body, other))

    def take(self, body: bytes) -> None:
        """Run one input; keep it if it reached something new, write it down if something was wrong."""
        self.runs += 1
        try:
            new = self._new(body)
        except WrongError as wrong:
            self._write_down(body, str(wrong))
            return
        if new:
            self._corpus.append(body)
            _save(self._folder, body)

    def _new(self, body: bytes) -> bool:
        self._note(body)
        counters[: len(places)] = 0
        try:
            decoded = attempt(self.target, self._memory.place(body), tight=len(body) % 4 == 3)
        finally:
            step = np.searchsorted(_STEPS, counters[: len(places)], side="right")
            rows = np.flatnonzero(step)
            new = not self._seen[rows, step[rows]].all()
            self._seen[rows, step[rows]] = True
        self.target.judge(body, decoded)
        return bool(new)

    def _write_down(self, body: bytes, wrong: str) -> None:
        kind = _kind(wrong)
        if kind in self.findings or len(self.findings) >= _MOST_FINDINGS:
            return
        self.findings[kind] = body
        body, wrong = self._shrunk(body, kind, wrong)
        self.findings[kind] = body
        file = _save(self._found / self.target.name, body)
        print(f"{self.target.name}: {wrong}\n    {len(body)} bytes, kept as {file}: {body!r:.400}", flush=True)

    def _shrunk(self, body: bytes, kind: str, wrong: str) -> tuple[bytes, str]:
        """A smaller input with the same kind of finding: without whatever part it can do without."""
        tries, shrinking = 0, True
        while shrinking and tries < _SHRINKS:
            shrinking = False
            for smaller in shorter(body, textual=self.target.textual):
                if len(smaller) >= len(body):
                    continue
                tries += 1
                try:
                    self._new(smaller)
                except WrongError as still:
                    if _kind(str(still)) == kind:
                        body, wrong, shrinking = smaller, str(still), True
                        break
                if tries >= _SHRINKS:
                    break
        return body, wrong


def _kind(wrong: str) -> str:
    """What two findings of the same sort have in common."""
    return wrong.partition(":")[0]


def _save(folder: Path, body: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.blake2b(body, digest_size=8).hexdigest()
    file.write_bytes(body)
    return file


def pursue(campaigns: list[Campaign], *, runs: int | None, seconds: float | None, tell: Callable[[str], None]) -> None:
    """Give each campaign its share in turn, until each had so many runs or the time is over."""
    begin = told = time.monotonic()
    while True:
        now = time.monotonic()
        if now - told > 15:
            told = now
            tell(summary(campaigns, now - begin))
        open_ones = [c for c in campaigns if len(c.findings) < _MOST_FINDINGS and (runs is None or c.runs < runs)]
        if not open_ones or (seconds is not None and now - begin > seconds):
            return
        for campaign in open_ones:
            for _ in range(50):
                campaign.step()


def summary(campaigns: list[Campaign], seconds: float) -> str:
    """One line about how far it is."""
    reached = np.logical_or.reduce([campaign.reached for campaign in campaigns])
    runs = sum(campaign.runs for campaign in campaigns)
    kept = ", ".join(f"{campaign.target.name} {campaign.size}" for campaign in campaigns)
    wrong = sum(len(campaign.findings) for campaign in campaigns)
    return (
        f"{seconds:.0f} s: {runs:,} inputs, {int(reached.sum()):,} of {len(places):,} branches reached,"
        f" kept {kept}; {wrong} findings"
    )
