"""Text out of tokens, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
# An incomplete character of UTF-8 has three bytes at most. A byte-fallback decoder shows each as one replacement.
_MAX_PENDING_BYTES = 3
# After this many tokens without a whole character the bytes are no text. They are let through.
_MAX_PENDING_TOKENS = 16


class Detokenizer:
    """Decodes a row's tokens as they come. The pieces, joined, are the text of all tokens.

    Only a short window is decoded again for each token: the last piece, for the decoder's treatment of spaces,
    and the tokens after it. `context` are the last tokens of the prompt where the text continues it.
    """

    def __init__(self, decode: Callable[[list[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(context)
        self._read = len(self._window)
        self._known = decode(self._window) if self._window else ""
        self._given = 0

    @property
    def before(self) -> tuple[tuple[int, ...], int]:
        """The tokens that the next one is decoded after, and how many characters of their text have been given."""
        return tuple(self._window), len(self._known) + self._given

    def push(self, token: int) -> str:
        """The text that a token has made certain; empty while a character is incomplete."""
        self._window.append(token)
        fresh = self._fresh()
        pending = len(self._window) - self._read
        stable = fresh if pending >= _MAX_PENDING_TOKENS else _without_pending(fresh)
        piece = stable[self._given :]
        self._given = max(self._given, len(stable))
        if len(stable) == len(fresh) and (fresh or pending >= _MAX_PENDING_TOKENS):
            self._advance()
        return piece

    def flush(self) -> str:
        """The end of the text. An incomplete character comes as the replacement character."""
        piece = self._fresh()[self._given :]
        self._advance()
        return piece

    def _fresh(self) -> str:
        """The text after the last piece. A byte-fallback decoder breaks a whole run of bytes for one cut character."""
        text = self._decode(self._window)
        head = text[: len(self._known)]
        if REPLACEMENT in head and head != self._known:
            return self._decode(self._window[self._read :])
        return text[len(self._known) :]

    def _advance(self) -> None:
        self._window = self._window[self._read :]
        self._read = len(self._window)
        self._known = self._decode(self._window)
        self._given = 0


def _without_pending(text: str) -> str:
    end = len(text)
    while end > 0 and len(text) - end < _MAX_PENDING_BYTES and text[end - 1] == REPLACEMENT:
        end -= 1
    return text[:end]
