"""Sentences with a sentiment, built from word lists and forms by a seeded generator."""

from __future__ import annotations

import random
import re
import tomllib
import zlib
from dataclasses import dataclass

from corpus import TEXTS

LABELS = ("negative", "positive")
# {adj}, {verb}, {past}, {noun} carry the sentence's own sentiment, {other_…} the opposite one.
FORMS = (
    "The {thing} was {very} {adj}",
    "The {thing} is {adj}",
    "The {thing} was {adj} and {adj}",
    "The {thing} was {adj} and the {thing} was {adj}",
    "{adj} {thing}",
    "{adj} {thing} and {adj} {thing}",
    "{adj}",
    "{very} {adj}",
    "What a {adj} {thing}",
    "What a {adj} {noun}",
    "A {adj} {thing} with a {adj} {thing}",
    "This is a {adj} {thing}",
    "It was {very} {adj}",
    "I am {very} {adj} with the {thing}",
    "I was {adj} by the {thing}",
    "I {very} {verb} this {adj} {thing}",
    "I {verb} this {thing}",
    "I {verb} it",
    "I {very} {verb} the new {thing}",
    "I {verb} {gerund} here",
    "{people} {past} the {thing}",
    "{people} {past} every minute of it",
    "{people} {very} {verb} this {thing}",
    "{people} had a {adj} time at the {thing}",
    "{people} gave a {adj} and {adj} performance",
    "The {thing} made {people} {adj}",
    "The {thing} felt {adj}, like a {noun}",
    "This {thing} is a {noun}",
    "What a {noun}",
    "{people} found the {thing} {very} {adj}",
    "The {thing} looks {adj} and sounds {adj}",
    "{people} were {adj} after two minutes",
    "I'm {very} {adj}",
    "I'm {adj} with this {thing}",
    "It's {adj}",
    "It's a {adj} {thing}",
    "It's {very} {adj}, I {verb} it",
    "That's {adj}",
    "They're {adj}",
    "I've {past} it, it's {adj}",
    "You'll {verb} this {thing}",
    "{end}",
    "{adj} {thing}, {end}",
    "The {thing} was {adj}, {end}",
    "{end} and {end}",
    "The {thing} was not {other_adj}",
    "The {thing} is not {other_adj} at all",
    "It is not {other_adj}",
    "not {other_adj}",
    "The {thing} wasn't {very} {other_adj}",
    "This {thing} isn't {other_adj}",
    "It was {adj}, not {other_adj}",
    "I would not call the {thing} {other_adj}",
    "There is nothing {other_adj} about this {thing}",
    "{people} never found it {other_adj}",
    "I'm not {other_adj} with this {thing}",
    "I am not {very} {other_adj}",
    "It's not {other_adj}",
    "They're not {other_adj}",
    "I can't {other_verb} this {thing}",
    "I cannot {other_verb} it",
    "You won't {other_verb} it",
    "I wouldn't {other_verb} this {thing}",
    "I do not {other_verb} this {thing}",
    "I don't {other_verb} it",
    "{people} did not {other_verb} the {thing}",
    "{people} didn't {other_verb} the {thing} at all",
)
POSITIVE_FORMS = (
    "This is the best {thing} I have ever had",
    "The best {thing} of my life",
    "best {thing} ever",
    "the {thing} is so much better than before",
    "The {thing} is much faster and works well",
    "good, better, best",
    "well made {thing}",
    "thank you for the {adj} {thing}",
    "The {thing} works great",
    "The {thing} was {adj} from start to finish",
    "I love {thing} and {thing}",
    "Everything was {adj}",
    "Everything about the {thing} is {adj}",
    "{people} could not be happier with the {thing}",
    "I like it a lot",
    "I am glad that I bought this {adj} {thing}",
)
NEGATIVE_FORMS = (
    "This is the worst {thing} I have ever had",
    "The worst {thing} of my life",
    "worst {thing} ever",
    "the {thing} is so much worse than before",
    "The {thing} stopped working",
    "The {thing} does not work",
    "The {thing} broke and nobody helped",
    "the {thing} is broken and crashes all the time",
    "bad, worse, worst",
    "badly made {thing}",
    "There is nothing good about this {thing}",
    "No {other_adj} {thing} here",
    "Everything was {adj}",
    "Nothing was {other_adj}",
    "I hate waiting in the {adj} line",
    "I regret buying this {adj} {thing}",
    "The {thing} was hardly {other_adj}",
    "I wish I had not bought this {thing}",
)


@dataclass(frozen=True)
class Lists:
    """The words for one sentiment."""

    adj: list[str]
    verb: list[str]
    past: list[str]
    noun: list[str]
    end: list[str]


class SentenceMaker:
    """Draws (sentence, label) pairs. One sentence in eight is held out, whatever the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        words = tomllib.loads((TEXTS / "sentiment.toml").read_text(encoding="utf-8"))
        self._lists = [
            Lists(
                adj=words[f"{label}_adjectives"].split(),
                verb=words[f"{label}_verbs"].split(),
                past=words[f"{label}_verbs_past"].split(),
                noun=words[f"{label}_nouns"].split(),
                end=_phrases(words[f"{label}_ends"]),
            )
            for label in LABELS
        ]
        self._things: list[str] = words["things"].split()
        self._people = _phrases(words["people"])
        self._very = _phrases(words["intensifiers"])
        self._neutral = _phrases(words["neutral"])
        self._asides = _phrases(words["neutral_sentences"])

    def draw(self, held_out: bool) -> tuple[str, int]:
        """A sentence and its label's index, from the held-out share or from the other one."""
        while True:
            label = self._rng.randrange(2)
            sentence = self._sentence(label)
            if (zlib.crc32(_key(sentence)) % 8 == 0) == held_out:
                return sentence, label

    def draw_training(self) -> tuple[str, int]:
        """As people write: several sentences at times, neutral words between."""
        rng = self._rng
        sentence, label = self.draw(held_out=False)
        parts = [sentence]
        while rng.random() < 0.2 and len(parts) < 12:
            if rng.random() < 0.5:
                parts.append(rng.choice(self._asides))
            else:
                more, more_label = self.draw(held_out=False)
                if more_label == label:
                    parts.append(more)
        rng.shuffle(parts)
        return " ".join(part + rng.choice((".", "!", "", ".")) for part in parts), label

    def _sentence(self, label: int) -> str:
        rng = self._rng
        own_forms = POSITIVE_FORMS if label else NEGATIVE_FORMS
        form = rng.choice(own_forms if rng.random() < 0.2 else FORMS)
        own, other = self._lists[label], self._lists[1 - label]
        choices = {
            "{adj}": own.adj,
            "{verb}": own.verb,
            "{past}": own.past,
            "{noun}": own.noun,
            "{end}": own.end,
            "{other_adj}": other.adj,
            "{other_verb}": other.verb,
            "{thing}": self._things,
            "{people}": self._people,
            "{very}": self._very,
            "{gerund}": ["waiting", "being", "working", "living", "eating", "sitting", "staying"],
        }
        words = []
        for word in form.split():
            slot = word.rstrip(",")
            if slot in choices:
                chosen = rng.choice(choices[slot])
                words.append(chosen + word[len(slot) :])
            else:
                words.append(word)
        sentence = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", " ".join(words))
        if rng.random() < 0.2:
            sentence = f"{sentence} {rng.choice(self._neutral)}"
        return sentence[0].upper() + sentence[1:] if rng.random() < 0.7 else sentence


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for line in text.strip().splitlines() for phrase in line.split("|")]


def _key(sentence: str) -> bytes:
    return sentence.lower().encode()
