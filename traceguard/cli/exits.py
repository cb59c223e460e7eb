"""The one place where what happened becomes an exit code and, where it went wrong, one sentence on standard error.

0 success, 1 internal error, 2 usage or bad input, 3 regression, 4 inconclusive, 5 no data; 130 after Ctrl-C, 141 when
whoever read the output stopped reading.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NoReturn

from traceguard.errors import TraceguardError, first_line

SUCCESS = 0
INTERNAL_ERROR = 1
USAGE = 2
REGRESSION = 3
INCONCLUSIVE = 4
NO_DATA = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

DEBUG = "TRACEGUARD_DEBUG"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line on `arguments` (without the program's name; default: this process's own) and exit."""
    sys.exit(exit_code(lambda: _run(list(sys.argv[1:] if arguments is None else arguments))))


def exit_code(command: Callable[[], int]) -> int:
    """The exit code of `command`, which returns one; errors are told on standard error in one sentence."""
    if not (sys.warnoptions or _debugging()):
        # What libraries warn their callers about is no use to a person at a terminal; tests show it to us.
        warnings.simplefilter("ignore")
    try:
        return command()
    except TraceguardError as error:
        _trace()
        say(f"Error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it ends; it must find something that takes the bytes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  (the last resort: whatever it was, one sentence and code 1)
        _trace()
        say(f"Error: traceguard failed inside ({type(error).__name__}: {first_line(error)}); {DEBUG}=1 shows where.")
        return INTERNAL_ERROR


def say(sentence: str) -> None:
    """Tell something to the person, beside the result: a line on standard error."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  (the one door to standard error)


def _debugging() -> bool:
    return os.environ.get(DEBUG, "") not in {"", "0"}


def _trace() -> None:
    """Show where an error came from, to who asked for it."""
    if _debugging():
        from traceback import print_exc

        print_exc()


def _run(arguments: list[str]) -> int:
    """Parse the arguments and run their command; errors in them show the usage and end with 2."""
    import typer

    from traceguard.cli.app import app

    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="traceguard", standalone_mode=False)
    except typer.TyperException as error:
        # Raised by the parser for arguments that do not fit; it knows the command whose usage helps.
        show = getattr(error, "show", None)
        if show is None:
            say(f"Error: {error.format_message()}")
        else:
            show()
        return error.exit_code
    return code if isinstance(code, int) else SUCCESS
