"""What the server says about itself: loading, ready or failed."""

from __future__ import annotations

import time


class ServerState:
    """Written by the loading thread, read by the event loop; each change is one assignment."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.error: str | None = None
        self._created = int(time.time())
        self._facts: dict[str, object] | None = None

    @property
    def ready(self) -> bool:
        return self._facts is not None and self.error is None

    def set_ready(self, facts: dict[str, object]) -> None:
        self._facts = facts

    def health(self) -> dict[str, object]:
        if self.error is not None:
            return {"status": "error", "message": self.error}
        if self._facts is None:
            return {"status": "loading"}
        return {"status": "healthy", **self._facts}

    def card(self) -> dict[str, object]:
        return {"id": self.alias, "object": "model", "created": self._created, "owned_by": "solar"}
