from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models

from solar_pyserver.detokenizer import Detokenizer
from tiny_models import byte_tokenizer


def pieces(detokenizer: Detokenizer, tokens: list[int]) -> list[str]:
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


@pytest.mark.parametrize("text", ["The sun rises", "naïve café 日本語", "🙂🙃 emoji", " leading and trailing "])
def test_pieces_join_to_the_text_and_no_piece_has_half_a_character(text: str) -> None:
    tokenizer = byte_tokenizer()
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    given = pieces(Detokenizer(lambda ids: tokenizer.decode(ids, skip_special_tokens=True)), tokens)
    assert "".join(given) == text
    assert all("\ufffd" not in piece for piece in given)


def test_text_comes_with_each_token_and_does_not_wait_for_a_space() -> None:
    tokenizer = byte_tokenizer()
    tokens = tokenizer("sunrise", add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(lambda ids: tokenizer.decode(ids))
    assert len(tokens) > 1
    assert all(detokenizer.push(token) for token in tokens)


def test_an_incomplete_character_comes_out_at_the_end_only() -> None:
    tokenizer = byte_tokenizer()
    tokens = tokenizer("日", add_special_tokens=False)["input_ids"][:1]
    detokenizer = Detokenizer(lambda ids: tokenizer.decode(ids))
    assert detokenizer.push(tokens[0]) == ""
    assert detokenizer.flush() == "\ufffd"


def test_a_byte_fallback_decoder_holds_back_all_bytes_of_a_character() -> None:
    names = ["<unk>", *(f"<0x{value:02X}>" for value in range(256)), "▁a"]
    raw = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, [], byte_fallback=True))
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokens = [raw.token_to_id(f"<0x{value:02X}>") for value in "🙂!".encode()]
    given = pieces(Detokenizer(lambda ids: raw.decode(ids)), tokens)
    assert given == ["", "", "", "🙂", "!", ""]


@pytest.mark.parametrize("text", ["日🙂", "🙂日本🙂", "é🙂!"])
def test_characters_in_bytes_behind_each_other_stay_whole(text: str) -> None:
    """A byte-fallback decoder shows all bytes of a run as broken until the last character is whole."""
    names = ["<unk>", *(f"<0x{value:02X}>" for value in range(256))]
    raw = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, [], byte_fallback=True))
    raw.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokens = [raw.token_to_id(f"<0x{value:02X}>") for value in text.encode()]
    given = pieces(Detokenizer(lambda ids: raw.decode(ids)), tokens)
    assert [piece for piece in given if piece] == list(text)
    cut = pieces(Detokenizer(lambda ids: raw.decode(ids)), tokens[:-1])
    assert "".join(cut).startswith(text[:-1])


def test_bytes_that_never_make_a_character_are_let_go() -> None:
    tokenizer = byte_tokenizer()
    lone = tokenizer.convert_tokens_to_ids("ÿ")
    detokenizer = Detokenizer(lambda ids: tokenizer.decode(ids))
    given = [detokenizer.push(lone) for _ in range(100)]
    assert len("".join(given)) >= 90


def test_the_window_of_text_decoded_again_stays_short() -> None:
    tokenizer = byte_tokenizer()
    longest = 0

    def decode(ids: list[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return str(tokenizer.decode(ids))

    tokens = tokenizer("The quiet harbour and the boats " * 50, add_special_tokens=False)["input_ids"]
    pieces(Detokenizer(decode), tokens)
    assert longest < 40


def test_a_continued_prompt_keeps_the_space_before_the_first_word() -> None:
    names = {"<unk>": 0, "▁Once": 1, "▁upon": 2}
    raw = Tokenizer(models.WordLevel(names, unk_token="<unk>"))
    raw.decoder = decoders.Metaspace()
    assert Detokenizer(raw.decode).push(2) == "upon"
    assert Detokenizer(raw.decode, [1]).push(2) == " upon"
