"""The releases of transformers that this server was tried with. README and /health say the same."""

from __future__ import annotations

# The one that the tests are pinned to, and the newest that the package registry gave when they last ran.
TRIED_TRANSFORMERS = ("5.23.0", "5.24.0")


def versions(torch: str, transformers: str) -> dict[str, object]:
    """What /health says of the libraries in use."""
    return {"torch": torch, "transformers": transformers, "transformers_tried": list(TRIED_TRANSFORMERS)}


def untried(transformers: str) -> str | None:
    """What the log says of a release that was not tried; None for one that was."""
    if transformers in TRIED_TRANSFORMERS:
        return None
    return f"transformers {transformers} was not tried with this server; {' and '.join(TRIED_TRANSFORMERS)} were"
