"""The program: ``python -m sepcnn`` and the script ``sepcnn``.

Prepares streams and signals before anything is imported that takes time.
"""

import os
import sys

from sepcnn.cli import signals


def main() -> None:
    """Run the program with the arguments of the process and exit."""
    open_standard_streams()
    signals.handle()
    with signals.exit_at_once():
        from sepcnn.cli.main import run
    code = run(sys.argv[1:])
    signals.end_with(code)
    sys.exit(code)


def open_standard_streams() -> None:
    """Open the null device in place of each closed standard stream, as after ``>&-``.

    Otherwise the next file to be opened, for example a checkpoint, would get the number of the
    stream, and libraries in C would write their messages into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()
