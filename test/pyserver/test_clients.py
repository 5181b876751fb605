"""What clients of other servers send and look for: browsers, llama-server's, vLLM's, httpx."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from server_process import ServerProcess
from solar_pyserver.errors import ApiError, context_exceeded
from solar_pyserver.generation_defaults import sampling_defaults, told_defaults, told_in_vain
from solar_pyserver.http.asgi import MAX_BODY_BYTES, unpack
from solar_pyserver.responses import NO_LOGPROBS, GenerationResponse
from solar_pyserver.sampling import SamplingParams
from solar_pyserver.schemas import ChatRequest, CompletionRequest

PROMPT: dict[str, Any] = {"prompt": "The sun", "max_tokens": 4, "temperature": 0, "ignore_eos": True}


def headers(server: ServerProcess, **more: str) -> dict[str, str]:
    return {"X-API-Key": str(server.key), "Origin": "https://page.example", **more}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/unknown"])
def test_a_browsers_preflight_is_answered_without_the_key(causal: ServerProcess, path: str) -> None:
    asks = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    status, body, given = causal.request("OPTIONS", path, headers=asks)
    assert (status, body) == (204, "")
    assert given["access-control-allow-origin"] == "*"
    assert "POST" in given["access-control-allow-methods"]
    assert given["access-control-allow-headers"] == "authorization,content-type"


def test_a_page_may_read_answers_streams_and_errors(causal: ServerProcess) -> None:
    answers = [
        causal.request("POST", "/v1/completions", PROMPT, headers(causal)),
        causal.request("POST", "/v1/completions", {**PROMPT, "stream": True}, headers(causal)),
        causal.request("POST", "/v1/completions", {}, headers(causal)),
        causal.request("GET", "/v1/models", None, {"Origin": "https://page.example"}),
        causal.request("GET", "/unknown", None, headers(causal)),
    ]
    assert [status for status, _, _ in answers] == [200, 200, 400, 401, 404]
    assert [given["access-control-allow-origin"] for _, _, given in answers] == ["*"] * 5
    # A page's own cookies are of no use here.
    assert all("access-control-allow-credentials" not in given for _, _, given in answers)


def test_without_a_key_no_page_may_read_an_answer(classifier: ServerProcess) -> None:
    origin = {"Origin": "https://page.example"}
    for method, path in (("OPTIONS", "/v1/classify"), ("GET", "/v1/models"), ("GET", "/health")):
        assert not [name for name in classifier.request(method, path, None, origin)[2] if "access-control" in name]


def test_a_prompt_over_the_context_is_refused_in_the_words_that_clients_look_for(causal: ServerProcess) -> None:
    status, answer, _ = causal.request("POST", "/v1/completions", {"prompt": "sun " * 600})
    assert status == 400
    assert "maximum context length is 512 tokens" in answer["error"]["message"]
    assert "maximum context length is 9 tokens" in str(context_exceeded(10, 9, "input[0]"))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_limit_of_minus_one_is_none(causal: ServerProcess, path: str, field: str) -> None:
    prompt = {"prompt": "The"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "The"}]}
    body = {**prompt, field: -1, "temperature": 0, "ignore_eos": True}
    assert causal.request("POST", path, body)[1]["usage"]["total_tokens"] == 512
    for wrong in (0, -2):
        status, answer, _ = causal.request("POST", path, {**body, field: wrong})
        assert (status, answer["error"]["param"]) == (400, field)
        assert "-1 for no limit" in answer["error"]["message"]


def test_a_seed_of_minus_one_is_any() -> None:
    assert CompletionRequest(prompt="x", seed=-1).sampling(SamplingParams()).seed is None
    assert CompletionRequest(prompt="x", seed=-2).sampling(SamplingParams()).seed == -2


def test_stream_options_of_other_servers_are_no_error(causal: ServerProcess) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True, "include_obfuscation": False}
    status, text, _ = causal.request("POST", "/v1/completions", {**PROMPT, "stream": True, "stream_options": options})
    assert status == 200
    assert '"usage": {' in text
    wrong = {**PROMPT, "stream": True, "stream_options": {"include_usage": "yes"}}
    assert causal.request("POST", "/v1/completions", wrong)[1]["error"]["param"] == "stream_options.include_usage"


LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("chat", [True, False])
def test_nothing_in_a_stream_ends_a_line_but_its_own_ends(chat: bool, tokenizer: Any) -> None:
    text = f"é{LINE_ENDS}é"
    answer = GenerationResponse(chat, text, tokenizer)
    event = answer.piece(0, text, NO_LOGPROBS).decode()
    [line, _] = event.splitlines()
    told = json.loads(line.removeprefix("data: "))
    assert told["model"] == text
    choice = told["choices"][0]
    assert (choice["delta"]["content"] if chat else choice["text"]) == text
    # What ends no line stands as it is.
    assert "é" in line


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_a_gzip_body_is_read(causal: ServerProcess, name: str) -> None:
    plain = causal.request("POST", "/v1/completions", PROMPT)[1]["choices"]
    packed = gzip.compress(json.dumps(PROMPT).encode())
    status, answer, _ = causal.request("POST", "/v1/completions", packed, headers(causal, **{"Content-Encoding": name}))
    assert (status, answer["choices"]) == (200, plain)


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("br", b"x", 415, "br is not read by this server: send the body plain or as gzip"),
        ("deflate", zlib.compress(b"{}"), 415, "deflate is not read"),
        ("gzip, gzip", b"x", 415, "gzip, gzip is not read"),
        ("gzip", b"{}", 400, "not gzip"),
        ("gzip", gzip.compress(b"{}")[:-9], 400, "ends before its end"),
        ("gzip", b"", 400, "ends before its end"),
        ("gzip", gzip.compress(b"no json"), 400, "not JSON"),
    ],
    ids=["br", "deflate", "twice", "none in it", "cut", "empty", "no JSON in it"],
)
def test_a_packed_body_that_cannot_be_read_is_named(
    causal: ServerProcess, name: str, body: bytes, status: int, words: str
) -> None:
    told = causal.request("POST", "/v1/completions", body, headers(causal, **{"Content-Encoding": name}))
    assert told[0] == status
    assert words in told[1]["error"]["message"]


def test_a_body_is_unpacked_up_to_its_limit_and_in_all_its_members() -> None:
    assert unpack(gzip.compress(b"one ") + gzip.compress(b"two")) == b"one two"
    assert len(unpack(gzip.compress(b"x" * MAX_BODY_BYTES))) == MAX_BODY_BYTES
    with pytest.raises(ApiError) as caught:
        unpack(gzip.compress(b"x" * (MAX_BODY_BYTES + 1)))
    assert caught.value.status == 413


def test_what_generation_config_says_is_the_default_and_a_request_goes_before_it() -> None:
    others = {"temperature": 0.4, "top_p": 0.9, "top_k": 7, "min_p": 0.1}
    told = told_defaults(
        GenerationConfig(do_sample=True, suppress_tokens=[3, 900, -1], repetition_penalty=1.2, **others)
    )
    defaults = sampling_defaults(told, 400)
    # Temperature and its kin are what OpenAI's are, whatever the checkpoint says.
    assert defaults == SamplingParams(repetition_penalty=1.2, suppressed=(3,))
    messages: Any = [{"role": "user", "content": "x"}]
    assert ChatRequest(messages=messages).sampling(defaults) == defaults
    own = {"temperature": 1.5, "top_p": 0.5, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    given = ChatRequest.model_validate({"messages": messages, **own}).sampling(defaults)
    assert given == SamplingParams(**own, suppressed=(3,))  # type: ignore[arg-type]
    # What is not written in it says nothing.
    assert sampling_defaults(told_defaults(GenerationConfig()), 400) == SamplingParams()
    assert told_defaults(None) == {}


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_what_a_checkpoint_suppresses_and_penalises_is_so_as_in_generate(
    start_server: Callable[..., ServerProcess], llama_folder: Path, mistral_folder: Path, tmp_path: Path, kind: str
) -> None:
    """In flight, and one row at a time."""
    source = llama_folder if kind == "llama" else mistral_folder
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source)
    prompt = tokenizer(PROMPT["prompt"], return_tensors="pt")["input_ids"]
    greedy = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 2}
    plain = model.generate(prompt, **greedy)[0, prompt.shape[1] :].tolist()
    model.generation_config.suppress_tokens = plain
    model.generation_config.repetition_penalty = 1.3
    quiet = model.generate(prompt, **greedy)[0, prompt.shape[1] :].tolist()
    assert not set(quiet) & set(plain)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    server = start_server("causal", "--model", str(tmp_path), "--alias", "m")
    server.wait_ready()
    assert server.request("GET", "/health")[1]["sampling_defaults"] == {"repetition_penalty": 1.3}
    answer = server.request("POST", "/v1/completions", {**PROMPT, "max_tokens": 8})[1]
    context = prompt[0].tolist()
    before = tokenizer.decode(context, skip_special_tokens=True)
    assert before + answer["choices"][0]["text"] == tokenizer.decode(context + quiet, skip_special_tokens=True)


def test_settings_of_a_checkpoint_that_are_not_applied_are_told() -> None:
    off = GenerationConfig(num_beams=1, no_repeat_ngram_size=0, min_new_tokens=0, repetition_penalty=1.2)
    assert told_in_vain(None) == told_in_vain(GenerationConfig()) == told_in_vain(off) == ""
    told = told_in_vain(GenerationConfig(no_repeat_ngram_size=1, forced_eos_token_id=1, bad_words_ids=[[5]]))
    assert told.endswith("not applied here: bad_words_ids, forced_eos_token_id, no_repeat_ngram_size")
