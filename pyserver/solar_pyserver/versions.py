"""The releases of transformers that this server was tried with. README and /health say the same."""

from __future__ import annotations

# The pinned release of the tests, and the newest one at the registry when they last ran.
TRIED_TRANSFORMERS = ("5.23.0", "5.24.0")


def versions(torch: str, transformers: str) -> dict[str, object]:
    """The versions in /health."""
    return {"torch": torch, "transformers": transformers, "transformers_tried": list(TRIED_TRANSFORMERS)}


def untried(transformers: str) -> str | None:
    """The notice in the log for a release that was not tried. None for one that was."""
    if transformers in TRIED_TRANSFORMERS:
        return None
    return f"transformers {transformers} was not tried with this server; {' and '.join(TRIED_TRANSFORMERS)} were"
