from __future__ import annotations

from typing import Any

import pytest
from tokenizers import processors

from solar_pyserver.errors import ApiError
from solar_pyserver.tokenizing import ClassifierTokenizer, TextTokenizer
from tiny_models import byte_tokenizer, word_tokenizer

TEXTS = ["The sun rises", "naïve café 日本語 🙂", " spaced ", "<s>The sun"]


class Slow:
    """A tokenizer without a Rust part, as transformers' own Python ones are."""

    def __init__(self, fast: Any) -> None:
        self._fast = fast

    def __getattr__(self, name: str) -> Any:
        if name == "_tokenizer":
            raise AttributeError(name)
        return getattr(self._fast, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._fast(*arguments, **options)


@pytest.mark.parametrize("text", TEXTS)
def test_the_quick_way_gives_what_transformers_gives(text: str) -> None:
    plain = byte_tokenizer()
    expected = plain(text)["input_ids"]
    for tokenizer in (TextTokenizer(byte_tokenizer(), {1}), TextTokenizer(Slow(byte_tokenizer()), {1})):
        ids = tokenizer.encode(text)
        assert ids == (expected[1:] if text.startswith("<s>") else expected)
        assert tokenizer.decode(ids) == plain.decode(ids, skip_special_tokens=True)


def test_any_number_of_spelled_out_beginnings_is_one_beginning() -> None:
    tokenizer = TextTokenizer(byte_tokenizer(), {1})
    once = tokenizer.encode("The sun")
    assert tokenizer.encode("<s>" * 5 + "The sun") == once
    assert tokenizer.encode("") == tokenizer.encode("<s><s>") == [0]
    unmarked = byte_tokenizer()
    unmarked.bos_token = None
    assert TextTokenizer(unmarked, {1}).encode("<s>The sun") == [0, *once]


def test_a_beginning_that_the_tokenizer_does_not_add_is_left_as_often_as_it_is_spelled_out() -> None:
    raw = byte_tokenizer()
    raw.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    for text in ("</s></s>The sun", "<s><s><s>", "The sun"):
        assert TextTokenizer(raw, {1}).encode(text) == raw(text)["input_ids"]


class Batches:
    """The Rust tokenizer without `encode`, which keeps other threads waiting however long the text is."""

    def __init__(self, rust: Any) -> None:
        self.no_truncation = self.no_padding = lambda: None
        self.encode_batch = rust.encode_batch
        self.decode = rust.decode
        self.get_added_tokens_decoder = rust.get_added_tokens_decoder


def test_a_text_is_encoded_in_the_way_that_lets_other_threads_run() -> None:
    for raw in (byte_tokenizer(), word_tokenizer()):
        expected = raw("good bad")["input_ids"]
        raw._tokenizer = Batches(raw._tokenizer)
        assert TextTokenizer(raw, {1}).encode("good bad") == expected
        [encoding] = ClassifierTokenizer(raw, 100).encode(["good bad"], truncate=False)
        assert encoding["input_ids"] == expected


def test_truncation_and_padding_of_a_tokenizer_file_are_taken_off() -> None:
    raw = byte_tokenizer()
    raw._tokenizer.enable_truncation(4)
    raw._tokenizer.enable_padding(length=50)
    assert len(TextTokenizer(raw, {1}).encode("The sun rises over the quiet harbour")) > 4
    words = word_tokenizer()
    words._tokenizer.enable_truncation(3)
    [encoding] = ClassifierTokenizer(words, 100).encode(["good bad fine sad"], truncate=False)
    assert len(encoding["input_ids"]) == 6


def test_a_classifiers_encoding_is_transformers_own() -> None:
    texts = ["good bad", "the sun is a star"]
    expected = [dict(word_tokenizer()(text)) for text in texts]
    for tokenizer in (ClassifierTokenizer(word_tokenizer(), 100), ClassifierTokenizer(Slow(word_tokenizer()), 100)):
        assert tokenizer.encode(texts, truncate=False) == expected
        assert [tokenizer.encode([text], truncate=False)[0] for text in texts] == expected


def test_cutting_is_for_one_call_only() -> None:
    tokenizer = ClassifierTokenizer(word_tokenizer(), 4)
    text = "good bad fine sad happy"
    assert [len(item["input_ids"]) for item in tokenizer.encode([text], truncate=True)] == [4]
    assert [len(item["input_ids"]) for item in tokenizer.encode([text], truncate=False)] == [7]


def test_the_bytes_of_half_a_character_are_known() -> None:
    tokenizer = TextTokenizer(byte_tokenizer(), {1})
    tokens = tokenizer.encode("日")[1:]
    assert bytes(value for token in tokens for value in tokenizer.token_bytes(token, "")) == "日".encode()
    assert len(tokens) > 1


def test_a_chat_without_a_template_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        TextTokenizer(byte_tokenizer(template=None), {1}).encode_chat([{"role": "user", "content": ["x"]}], {})
    assert caught.value.code == "no_chat_template"


def test_template_variables_reach_the_template() -> None:
    raw = byte_tokenizer(template="{{ messages[0].content }}{% if thinking %}!{% endif %}")
    tokenizer = TextTokenizer(raw, {1})
    messages = [{"role": "user", "content": ["sun"]}]
    assert tokenizer.decode(tokenizer.encode_chat(messages, {"thinking": True})) == "sun!"
    assert tokenizer.decode(tokenizer.encode_chat(messages, {})) == "sun"
