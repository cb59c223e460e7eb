"""Everything traceguard refuses, as one tree; each branch knows its exit code.

The message of an error is one sentence that says what is wrong and what to do. `cli` is the one place that prints it
and turns it into an exit code; the server turns the same tree into HTTP statuses.
"""

_NAMED = 5  # names that are listed where none is near


class TraceguardError(Exception):
    """Base of all errors that traceguard raises on purpose. Exit code 1 unless a branch says otherwise."""

    exit_code = 1
    http_status = 500


class UsageError(TraceguardError):
    """An option or argument that cannot be used as given: a malformed period, an unknown name, an exposure above 1."""

    exit_code = 2
    http_status = 400


class InputError(TraceguardError):
    """Bytes that are not what they should be: a truncated file, a body that is not OTLP."""

    exit_code = 2
    http_status = 400


class StoreError(TraceguardError):
    """A store that cannot be used: missing, held by another process, newer than the program, not a store."""

    exit_code = 2
    http_status = 503


class UnknownNameError(UsageError):
    """A service, operation, flag or query that the store does not know; the message names the nearest ones."""

    http_status = 404

    @classmethod
    def of(cls, noun: str, name: str, known: list[str]) -> "UnknownNameError":
        """Build the sentence for `name`, offering the closest of `known`."""
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=3, cutoff=0.4)
        if near:
            hint = f"did you mean {', '.join(near)}?"
        elif known:
            more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
            hint = f"known are {', '.join(sorted(known)[:_NAMED])}{more}."
        else:
            hint = "the store has none."
        return cls(f"There is no {noun} named {name!r}; {hint}")


def first_line(error: BaseException) -> str:
    """What an error of a library says, without the lines in which it explains itself."""
    return (str(error).splitlines() or ["no message"])[0]
