"""The texts under `texts/`, read into plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TEXTS = Path(__file__).resolve().parent / "texts"


@dataclass(frozen=True)
class Topic:
    """One answer and the ways to ask for it, the plainest first."""

    questions: tuple[str, ...]
    answer: str


def _lines(name: str) -> list[str]:
    """A text's lines without its comments."""
    text = (TEXTS / name).read_text(encoding="utf-8")
    return [line.rstrip() for line in text.splitlines() if not line.startswith("#")]


def chat_topics() -> list[Topic]:
    """The chat corpus. Raises ValueError for an answer without a question, or the reverse."""
    topics = []
    for block in "\n".join(_lines("chat.txt")).strip().split("\n\n"):
        head, _, answer = block.strip().partition("\n")
        questions = tuple(part.strip() for part in head.removeprefix(">").split("|"))
        if not head.startswith("> ") or not answer or not all(questions):
            raise ValueError(f"chat.txt: this block is not a question with its answer: {block!r}")
        topics.append(Topic(questions, answer))
    return topics


def plain_texts() -> list[str]:
    """Texts that the model can carry on without a chat."""
    return [block.strip() for block in "\n".join(_lines("plain.txt")).strip().split("\n\n")]


def unknown_words() -> list[str]:
    """Words for questions to which the model answers that it does not know."""
    return " ".join(_lines("unknown.txt")).split()


def held_out_sentences() -> list[tuple[str, str]]:
    """(sentence, label) pairs that no classifier is trained on."""
    labels = {"+": "positive", "-": "negative"}
    return [(line[2:], labels[line[0]]) for line in _lines("held_out.txt") if line]
