"""How much of the weights is loaded, as transformers' progress bars would show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

# Gets the stage, and the progress of the whole loading from 0 to 1.
Progress = Callable[[str, float], None]


def report_weights(transformers_logging: Any, progress: Progress) -> None:
    """From now on, loading weights calls `progress`. transformers 4.57 has no way to do so and stays silent."""
    transformers_logging.disable_progress_bar()
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    if set_hook is not None:
        set_hook(lambda factory, args, kwargs: _Bar(progress, *args, **kwargs))


class _Bar:
    """Stands in for tqdm, and reports how much of the weights is loaded."""

    def __init__(self, progress: Progress, iterable: Iterable[Any] = (), **kwargs: Any) -> None:
        self._progress = progress
        self._iterable = iterable
        self._total = kwargs.get("total") or (len(iterable) if isinstance(iterable, Sized) else 0)
        self._done = 0
        self._weights = "weights" in str(kwargs.get("desc", "")).lower()

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        if self._weights and self._total:
            self._progress("weights", 0.3 + 0.6 * min(1.0, self._done / self._total))

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *ignored: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
