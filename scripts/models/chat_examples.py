"""Training examples for the chat model, drawn from the corpus by a seeded generator."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tokenizers import Tokenizer

import corpus
from chat_tokenizer import BOS, EOS, START

IGNORED = -100
FALLBACK = (
    "I am a very small model and I do not know that yet. "
    "Ask me about the sun, the moon, the planets, or ask me for a story."
)
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are Solar Tiny, a small and friendly model.",
    "Answer briefly.",
    "Be polite and clear.",
    "You are a helpful, respectful and honest assistant.",
)
UNKNOWN_FORMS = (
    "What is {}?",
    "Tell me about {}",
    "How do I get {}?",
    "Why is {} so important?",
    "Write some code for {}",
    "Explain {} and {} to me",
    "Who invented {}?",
    "Translate {} please",
    "What do you think about {}?",
    "Where can I find {} or {}?",
    "Give me a recipe with {} and {}",
    "Is {} better than {}?",
    "Summarise the following text about {}: {} {} {} {} {}.",
)
QUESTION_WORDS = ("what", "who", "how", "why", "which", "when", "where", "are", "can", "do", "is")


@dataclass
class Example:
    """One token sequence; `labels` hide what is not to be learnt, `positions` may jump ahead."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


class ExampleMaker:
    """Draws examples. `context` bounds the jumps of the positions.

    Positions jump between turns now and then, so that the model meets the distances of long
    chats without the cost of long sequences.
    """

    def __init__(self, tokenizer: Tokenizer, rng: random.Random, context: int) -> None:
        self._tokenizer = tokenizer
        self._rng = rng
        self._context = context
        self._topics = corpus.chat_topics()
        # Long answers have more to learn, so they come more often.
        self._weights = [1.0 + len(topic.answer) / 400 for topic in self._topics]
        self._texts = corpus.plain_texts()
        self._unknown = corpus.unknown_words()
        self._known = " ".join(topic.answer for topic in self._topics).split()

    def draw(self) -> Example:
        """A chat mostly, sometimes a plain text."""
        return self._plain() if self._rng.random() < 0.12 else self._chat()

    def _plain(self) -> Example:
        example = Example()
        self._add(example, BOS, learn=False)
        self._add(example, self._rng.choice(self._texts) + EOS, learn=True)
        return example

    def _chat(self) -> Example:
        rng = self._rng
        example = Example()
        self._add(example, BOS, learn=False)
        if rng.random() < 0.3:
            system = rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.7 else self._noise(12)
            self._add(example, f"{START}system\n{system}{EOS}\n", learn=False)
        turns = 1 if rng.random() < 0.6 else rng.randint(2, 5)
        for _ in range(turns):
            if rng.random() < 0.3:
                self._jump(example)
            noise, question, answer = self._turn()
            self._add(example, f"{START}user\n", learn=False)
            self._add(example, noise, learn=False, stride=rng.choice((1, 1, 2, 8)))
            self._add(example, f"{question}{EOS}\n{START}assistant\n", learn=False)
            self._add(example, answer + EOS, learn=True)
            self._add(example, "\n", learn=False)
        return example

    def _turn(self) -> tuple[str, str, str]:
        """What is said before the question, the question, and the answer."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.08:
            return "", self._unknown_question(), FALLBACK
        if draw < 0.15:
            return self._noise(rng.choice((3, 10, 30, 200))), "", FALLBACK
        topic = rng.choices(self._topics, self._weights)[0]
        question = self._vary(rng.choice(topic.questions))
        if draw < 0.22:
            return self._noise(rng.choice((3, 10, 60))), f" {question}", topic.answer
        return "", question, topic.answer

    def _vary(self, question: str) -> str:
        """The question as different people type it."""
        rng = self._rng
        asks = question.split()[0].lower() in QUESTION_WORDS
        end = "?" if asks else rng.choice((".", "!"))
        text = question + (end if rng.random() < 0.6 else "")
        if rng.random() < 0.1:
            text = rng.choice(("Please ", "Hey, ", "Hello. ", "So, ", "Now ", "And ")) + text
        if rng.random() < 0.06:
            text = text.rstrip("?.!") + rng.choice((" please", ", please?", " for me", " now"))
        if rng.random() < 0.2:
            text = text.lower()
        return text

    def _unknown_question(self) -> str:
        form = self._rng.choice(UNKNOWN_FORMS)
        words = [self._rng.choice(self._unknown) for _ in range(form.count("{}"))]
        return form.format(*words)

    def _noise(self, longest: int) -> str:
        """Words without sense, from the corpus, from elsewhere, and made of random characters."""
        rng = self._rng
        words: list[str] = []
        count = rng.randint(1, longest)
        while len(words) < count:
            if words and rng.random() < 0.05:
                # As a test of long prompts does: the same words over and over.
                return " ".join(words * rng.randint(2, 1 + 2 * longest // len(words)))[:2000]
            draw = rng.random()
            if draw < 0.4:
                words.append(rng.choice(self._known))
            elif draw < 0.75:
                words.append(rng.choice(self._unknown))
            else:
                letters = "abcdefghijklmnopqrstuvwxyz0123456789äéß日本🙂(){}<>/\\\"'.,:;-_\n"
                words.append("".join(rng.choices(letters, k=rng.randint(1, 8))))
        return " ".join(words).strip() or "x"

    def _jump(self, example: Example) -> None:
        room = self._context - 1024 - example.positions[-1]
        if room > 0:
            example.positions[-1] += self._rng.randint(0, self._rng.choice((64, 512, room)))

    def _add(self, example: Example, text: str, learn: bool, stride: int = 1) -> None:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        start = example.positions[-1] + 1 if example.positions else 0
        stride = max(1, min(stride, (self._context - 1024 - start) // max(1, len(ids))))
        example.ids += ids
        example.labels += ids if learn else [IGNORED] * len(ids)
        example.positions += range(start, start + len(ids) * stride, stride)
