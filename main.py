"""Latent Loom: `python main.py` opens the editor, `python main.py run FILE` draws without it; see --help."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from app.errors import AppError
from app.settings import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks for, and give the exit status: 0 for success, 1 for an expected failure."""
    try:
        settings = parse(argv)
        for note in settings.notes:
            sys.stderr.write(f"{note}\n")
        from app.wiring import dispatch

        return dispatch(settings)
    except AppError as error:
        from app.terminal import error_text

        sys.stderr.write(f"{error_text(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
