"""Tokens in log probabilities: they join to the text, have right offsets, and no two share a key."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from solar_pyserver.generation import GenerationRequest, Piece, Row
from solar_pyserver.responses import GenerationResponse
from solar_pyserver.sampling import SamplingParams, TokenLogprob
from solar_pyserver.tokenizing import TextTokenizer
from tiny_models import byte_tokenizer

BYTES = [f"<0x{value:02X}>" for value in range(256)]
NAMES = ["<unk>", "<s>", "</s>", *BYTES, "▁Once", "▁upon", "upon", "▁", "▁a", "a", "time", "▁time"]


def sentencepiece() -> TextTokenizer:
    """As Llama 2's: spaces are part of the words, and what is unknown is written in bytes."""
    raw = Tokenizer(models.BPE({name: at for at, name in enumerate(NAMES)}, [], byte_fallback=True))
    raw.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    return TextTokenizer(fast, {NAMES.index("</s>")})


def ids(*names: str) -> list[int]:
    found: list[int] = []
    for name in names:
        found += [NAMES.index(name)] if name in NAMES else [NAMES.index(BYTES[byte]) for byte in name.encode()]
    return found


def run(
    tokenizer: TextTokenizer,
    tokens: list[int],
    rivals: tuple[int, ...] = (),
    stop: tuple[str, ...] = (),
    stream: bool = False,
    prompt: tuple[int, ...] = (1,),
    continues: bool = False,
) -> tuple[str, list[TokenLogprob]]:
    request = GenerationRequest(
        [prompt], SamplingParams(), [len(tokens)], lambda update: None, stop=stop, stream=stream,
        continues_prompt=continues, logprobs=2,
    )  # fmt: skip
    row = Row(request, 0, tokenizer.decode, tokenizer.end_tokens, tokenizer.special_tokens)
    row.start(1)
    text, logprobs = "", []
    for token in tokens:
        row.accept(token, TokenLogprob(token, -1.0, ((token, -1.0), *((rival, -2.0) for rival in rivals))))
        for update in row.updates() if stream or row.finish_reason else []:
            if isinstance(update, Piece):
                text += update.text
                logprobs += update.logprobs
                # Nothing is told of a token before its text.
                assert len("".join(item.text or "" for item in logprobs)) <= len(text) + 20
        if row.finish_reason:
            break
    return text, logprobs


ONCE = ids("▁Once", "▁upon", "▁a", "▁time", "日", "🙂", "▁", "▁time")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", [[], ids("</s>")])
@pytest.mark.parametrize(
    ("continues", "text"), [(False, "Once upon a time日🙂  time"), (True, " Once upon a time日🙂  time")]
)
def test_tokens_of_sentencepiece_join_to_the_text(stream: bool, end: list[int], continues: bool, text: str) -> None:
    tokenizer = sentencepiece()
    prompt = tuple(ids("▁a")) if continues else (1,)
    shown, logprobs = run(tokenizer, ONCE + end, stream=stream, prompt=prompt, continues=continues)
    assert shown == text
    assert len(logprobs) == len(ONCE + end)
    old = json.loads(GenerationResponse(False, "m", tokenizer).logprobs(0, logprobs))
    assert "".join(old["tokens"]) == text
    assert old["text_offset"] == [0, *accumulate(len(token) for token in old["tokens"])][:-1]
    new = json.loads(GenerationResponse(True, "m", tokenizer).logprobs(0, logprobs))["content"]
    assert "".join(entry["token"] for entry in new) == text
    assert bytes(byte for entry in new for byte in entry["bytes"]).decode() == text


def test_tokens_of_bytes_join_to_the_text() -> None:
    raw = byte_tokenizer()
    tokenizer = TextTokenizer(raw, {1})
    tokens = raw("naïve café 日本語 🙂 too", add_special_tokens=False)["input_ids"]
    text, logprobs = run(tokenizer, tokens)
    new = json.loads(GenerationResponse(True, "m", tokenizer).logprobs(0, logprobs))["content"]
    assert "".join(entry["token"] for entry in new) == text == "naïve café 日本語 🙂 too"
    assert bytes(byte for entry in new for byte in entry["bytes"]).decode() == text


def test_a_character_that_never_ends_comes_with_the_last_token() -> None:
    text, logprobs = run(sentencepiece(), [*ids("▁a"), *ids("日")[:2]])
    assert "".join(item.text or "" for item in logprobs) == text
    assert text.startswith("a\ufffd")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("stop", "text"), [("upon", "Once "), (" upon", "Once"), ("on a", "Once up")])
def test_what_belongs_to_a_stop_string_is_not_told(stop: str, text: str, stream: bool) -> None:
    shown, logprobs = run(sentencepiece(), ONCE, stop=(stop,), stream=stream)
    assert shown == text
    assert "".join(item.text or "" for item in logprobs) == text


def top(tokenizer: TextTokenizer, tokens: list[int], rivals: list[int]) -> list[dict[str, float]]:
    _, logprobs = run(tokenizer, tokens, rivals=tuple(rivals))
    found: Any = json.loads(GenerationResponse(False, "m", tokenizer).logprobs(0, logprobs))
    assert all(token in keys or not token for token, keys in zip(found["tokens"], found["top_logprobs"], strict=True))
    return list(found["top_logprobs"])


def test_no_two_tokens_share_a_key_and_each_has_its_own_value() -> None:
    rivals = ids("upon", "</s>", "<unk>")
    first, second, *_ = top(sentencepiece(), ids("▁upon", "▁upon", "a"), rivals)
    # At the beginning of an answer both add the same text.
    assert first == {"upon": -1.0, f"token_id:{rivals[0]}": -2.0, "</s>": -2.0, "<unk>": -2.0}
    assert second == {" upon": -1.0, "upon": -2.0, "</s>": -2.0, "<unk>": -2.0}


def test_parts_of_characters_have_keys_of_their_own() -> None:
    rivals = [NAMES.index("<0xE6>"), NAMES.index("<0xF0>"), NAMES.index("<0x9F>")]
    [_, keys] = top(sentencepiece(), ids("▁a", "a"), rivals)
    assert keys == {"a": -1.0, "bytes:\\xe6": -2.0, "bytes:\\xf0": -2.0, "bytes:\\x9f": -2.0}
