from __future__ import annotations

import pytest

from solar_pyserver.generation import Finished, GenerationRequest, Piece, Row
from solar_pyserver.sampling import SamplingParams
from solar_pyserver.stop_matcher import StopMatcher
from solar_pyserver.tokenizing import TextTokenizer
from tiny_models import byte_tokenizer


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
    row.start(1)
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
    row.start(1)
    for token in raw("good day</s>", add_special_tokens=False)["input_ids"]:
        row.accept(token, None)
    assert getattr(row.updates()[0], "text", None) == "good "
