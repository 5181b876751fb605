"""Stop strings that never leak."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Lets text through up to the first stop string, and holds back what may be the beginning of one.

    Special tokens are not shown. A stop string is looked for in the text that is shown, and the special tokens that
    are named in it are text to it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        # Where in the held text the names of special tokens stand, from left to right.
        self._hidden: list[tuple[int, int]] = []

    def push(self, text: str, special: str = "") -> tuple[str, bool]:
        """What may be shown, and whether a stop string was met. `special` is a special token's name, after the text."""
        if not self._stops:
            return text, False
        self._held += text
        if special:
            self._hidden.append((len(self._held), len(self._held) + len(special)))
            self._held += special
        views = [(stop, *self._view(stop)) for stop in self._stops]
        found = [_place(at, left_out) for stop, view, left_out in views if (at := view.find(stop)) >= 0]
        if found:
            shown = self._take(min(found))
            self._held, self._hidden = "", []
            return shown, True
        begun = [_place(len(view) - _overlap(view, stop), left_out) for stop, view, left_out in views]
        return self._take(min(begun)), False

    def _view(self, stop: str) -> tuple[str, list[tuple[int, int]]]:
        """The held text without the special tokens that are not named in the stop string, and where those stand."""
        left_out = [span for span in self._hidden if self._held[slice(*span)] not in stop]
        view, at = [], 0
        for start, end in left_out:
            view.append(self._held[at:start])
            at = end
        return "".join([*view, self._held[at:]]), left_out

    def flush(self) -> str:
        """The end of the text: what was held back, without special tokens."""
        return self._take(len(self._held))

    def _take(self, end: int) -> str:
        """The held text up to `end` without what is hidden; the rest stays."""
        shown, at = [], 0
        for start, stop in self._hidden:
            shown.append(self._held[at : min(start, end)])
            at = min(stop, end)
        shown.append(self._held[at:end])
        self._held = self._held[end:]
        self._hidden = [(max(start - end, 0), stop - end) for start, stop in self._hidden if stop > end]
        return "".join(shown)


def _place(at: int, left_out: Sequence[tuple[int, int]]) -> int:
    """The place in the held text of a place in a view of it."""
    for start, end in left_out:
        if start <= at:
            at += end - start
    return at


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
