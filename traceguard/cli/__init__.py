"""The command line: arguments become one call of the pipeline, its result is rendered, an exit code says how it went.

What always holds: the document alone goes to standard output, everything else to standard error; exit codes mean the
same for every command; nothing heavy is imported before a command needs it, so that `traceguard --help` answers at
once.
"""

from traceguard.cli.exits import main

__all__ = ["main"]
