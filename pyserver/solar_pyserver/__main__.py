"""`python -m solar_pyserver`: reads the command line, looks for what is missing, and serves."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from .configuration import KEY_VARIABLE, parse
from .errors import ExitCode, StartupError

REQUIRED = ("torch", "transformers", "uvicorn", "pydantic")


def require_modules(names: Sequence[str] = REQUIRED) -> None:
    """Finding a module does not import it, so this takes no time."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        listed = " ".join(missing)
        which = "module" if len(missing) == 1 else "modules"
        raise StartupError(
            ExitCode.MISSING_MODULE,
            f"Python {which} {listed.replace(' ', ', ')} missing from {sys.executable}; "
            f"install with: {sys.executable} -m pip install {listed}",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code. `argv` is the command line without the program."""
    try:
        settings = parse(sys.argv[1:] if argv is None else argv)
        # Code that a model brings, and processes that it starts, need not know the key.
        os.environ.pop(KEY_VARIABLE, None)
        # Threads of a pass that wait for each other should sleep, not burn the core that the other one needs.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        require_modules()
        from .server import run

        return run(settings)
    except StartupError as error:
        print(f"solar-pyserver: error: {error}", file=sys.stderr, flush=True)
        return error.code


def leave(code: int) -> None:
    """Ends at once: threads that are loading or computing cannot be asked, and torch may hang in its teardown."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def script() -> None:
    """Runs the server and ends the process."""
    leave(main())


if __name__ == "__main__":
    script()
