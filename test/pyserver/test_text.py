from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models

from solar_pyserver.generation import Finished, GenerationRequest, Piece, Row
from solar_pyserver.sampling import SamplingParams
from solar_pyserver.text import Detokenizer, StopMatcher
from solar_pyserver.tokenizing import TextTokenizer
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


def test_a_stop_string_never_leaks_when_split_over_pieces() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("one E") == ("one ", False)
    assert matcher.push("N") == ("", False)
    assert matcher.push("D two") == ("", True)


def test_what_only_looked_like_a_stop_string_is_shown_after_all() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("E") == ("", False)
    assert matcher.push("NX E") == ("ENX ", False)
    assert matcher.flush() == "E"


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert StopMatcher(["world", "lo"]).push("hello world") == ("hel", True)


def test_a_stop_string_that_repeats_its_beginning_is_found() -> None:
    matcher = StopMatcher(["aab"])
    assert matcher.push("aa") == ("", False)
    assert matcher.push("ab!") == ("a", True)


def test_without_stop_strings_nothing_is_held_back() -> None:
    assert StopMatcher([]).push("any text") == ("any text", False)


def test_a_stop_string_that_is_a_special_token_is_met_and_not_shown() -> None:
    matcher = StopMatcher(["<|end|>"])
    assert matcher.push("good", "<|start|>") == ("good", False)
    assert matcher.push(" day", "<|end|>") == (" day", True)


def test_a_stop_string_may_have_a_special_token_in_it() -> None:
    for stop in ("day<|end|>", "<|end|>\n", "y<|end|>\n"):
        matcher = StopMatcher([stop])
        shown = ""
        for text, special in (("good day", ""), ("", "<|end|>"), ("\n", "")):
            piece, stopped = matcher.push(text, special)
            shown += piece
            if stopped:
                break
        assert stopped
        assert shown == "good day"[: "good day<|end|>\n".index(stop)]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 20])
@pytest.mark.parametrize(
    ("stop", "shown"),
    [
        ("abcd", "x"),
        ("cd", "xab"),
        ("bc", "xa"),
        ("ab<|y|>cd", "x"),
        ("<|y|>c", "xab"),
        ("d<|z|>", "xabc"),
        ("<|", None),
    ],
)
def test_a_stop_string_is_met_round_the_special_tokens_that_are_not_named_in_it(
    stop: str, shown: str | None, step: int
) -> None:
    matcher = StopMatcher([stop, "never"])
    given, stopped = "", False
    for text, special in (("xa", "<|x|>"), ("b", "<|y|>"), ("", "<|x|>"), ("c", ""), ("d", "<|z|>"), ("e", "")):
        for at in range(0, len(text) or 1, step):
            part = text[at : at + step]
            piece, stopped = matcher.push(part, special if at + step >= len(text) else "")
            given += piece
            if stopped:
                break
        if stopped:
            break
    assert (given + matcher.flush()) == ("xabcde" if shown is None else shown)
    assert stopped == (shown is not None)


def test_special_tokens_that_are_no_stop_are_not_shown_either() -> None:
    matcher = StopMatcher(["<|end|>now", "zz"])
    assert matcher.push("a", "<|end|>") == ("a", False)
    assert matcher.push("not") == ("not", False)
    # A second z behind it would make the other stop string whole.
    assert matcher.push("z", "<|end|>") == ("", False)
    assert matcher.flush() == "z"


@pytest.mark.parametrize("stop", ["<|im_end|>", "day<|im_end|>", "<|im_end|>!"])
def test_a_row_ends_at_a_special_token_that_is_no_end_token(stop: str) -> None:
    raw = byte_tokenizer()
    raw.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    tokenizer = TextTokenizer(raw, {1})
    request = GenerationRequest([[0]], SamplingParams(), [50], lambda update: None, stop=(stop,))
    row = Row(request, 0, tokenizer.decode, tokenizer.end_tokens, tokenizer.special_tokens)
    row.started(0)
    for token in raw("good day<|im_end|>!", add_special_tokens=False)["input_ids"]:
        if row.finish_reason is None:
            row.accept(token, None)
    piece, end = row.updates()
    assert isinstance(piece, Piece)
    assert isinstance(end, Finished)
    assert piece.text == "good day<|im_end|>!"[: "good day<|im_end|>!".index(stop)]
    assert end.reason == "stop"


def test_a_stop_string_that_an_end_token_completes_is_not_shown_in_part() -> None:
    raw = byte_tokenizer()
    tokenizer = TextTokenizer(raw, {1})
    request = GenerationRequest([[0]], SamplingParams(), [50], lambda update: None, stop=("day</s>",))
    row = Row(request, 0, tokenizer.decode, tokenizer.end_tokens, tokenizer.special_tokens)
    row.started(0)
    for token in raw("good day</s>", add_special_tokens=False)["input_ids"]:
        row.accept(token, None)
    assert getattr(row.updates()[0], "text", None) == "good "
