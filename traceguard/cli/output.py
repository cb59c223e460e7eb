"""Where a result goes and in which format: standard output or a file that appears whole or not at all."""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from traceguard.cli.exits import say
from traceguard.errors import UsageError

# What a file name ends with says which format is wanted, where `--format` does not.
_BY_SUFFIX = {
    ".csv": "csv",
    ".dot": "dot",
    ".gv": "dot",
    ".htm": "html",
    ".html": "html",
    ".json": "json",
    ".md": "md",
    ".mmd": "mermaid",
    ".parquet": "parquet",
    ".xml": "junit",
}


def choose(wanted: str | None, output: Path | None, offered: Sequence[str]) -> str:
    """The format to write: `wanted`, else what `output` ends with, else text.

    UsageError where the command does not offer it.
    """
    if wanted is None:
        by_suffix = _BY_SUFFIX.get(output.suffix.lower(), "text") if output else "text"
        return by_suffix if by_suffix in offered else "text"
    if wanted not in offered:
        raise UsageError(f"{wanted!r} is not a format of this command; it writes {', '.join(offered)}.")
    return wanted


def check(output: Path | None) -> None:
    """Refuse a file that cannot be written before the work is done, not after it."""
    if output is None or output == Path("-"):
        return
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file in it with -o.")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise UsageError(
            f"{output} cannot be written because the folder {output.parent} does not exist; make it first."
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{output} cannot be written because its folder is not writable; name another with -o.")


def deliver(result: str | bytes, output: Path | None) -> None:
    """Write a rendered result to `output`, atomically, or to standard output; text ends with a line break."""
    data = result if isinstance(result, bytes) else (result.rstrip("\n") + "\n").encode()
    if output is None or output == Path("-"):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    write_whole(data, output)
    say(f"Wrote {output}")


def write_whole(data: bytes, path: Path) -> None:
    """Write a file beside `path` and put it in its place, so that no reader ever sees half of it."""
    handle, beside = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner reads; a result gets the permissions of any new file.
        mask = os.umask(0)
        os.umask(mask)
        Path(beside).chmod(0o666 & ~mask)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
