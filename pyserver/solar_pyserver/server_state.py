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
        """Whether requests can be answered."""
        return self._facts is not None and self.error is None

    def set_ready(self, facts: dict[str, object]) -> None:
        """The model is loaded. `facts` is what /health tells."""
        self._facts = facts

    def health(self) -> dict[str, object]:
        """The body of /health."""
        if self.error is not None:
            return {"status": "error", "message": self.error}
        if self._facts is None:
            return {"status": "loading"}
        return {"status": "healthy", **self._facts}

    def card(self) -> dict[str, object]:
        """The model in the list of /v1/models."""
        return {"id": self.alias, "object": "model", "created": self._created, "owned_by": "solar"}
