"""The API as the official OpenAI client uses it, against the real process."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
import torch
import transformers
from openai import OpenAI

from server_process import ServerProcess, wait_for
from solar_pyserver.versions import TRIED_TRANSFORMERS

HELLO: list[Any] = [{"role": "user", "content": "The sun rises"}]


@pytest.fixture(scope="module")
def client(causal: ServerProcess) -> OpenAI:
    return OpenAI(base_url=f"{causal.url}/v1", api_key="secret", max_retries=0)


def say(client: OpenAI, **wishes: Any) -> Any:
    wishes = {"temperature": 0, "max_tokens": 24, "extra_body": {"ignore_eos": True}, **wishes}
    return client.chat.completions.create(model="tiny:llama", messages=HELLO, **wishes)


def test_chat_answers_with_usage_and_a_truthful_reason(client: OpenAI) -> None:
    answer = say(client)
    assert answer.object == "chat.completion"
    assert answer.model == "tiny:llama"
    assert answer.id.startswith("chatcmpl-")
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24


def test_chat_applies_the_template_without_a_second_bos(client: OpenAI, tokenizer: Any) -> None:
    ids = tokenizer.encode_chat(HELLO, {})
    assert ids.count(0) == 1
    assert say(client).usage.prompt_tokens == len(ids)


def test_completion_with_a_spelled_out_bos_has_it_once(client: OpenAI) -> None:
    plain = client.completions.create(model="tiny:llama", prompt="The sun", max_tokens=1)
    spelled = client.completions.create(model="tiny:llama", prompt="<s>The sun", max_tokens=1)
    assert spelled.usage is not None
    assert plain.usage is not None
    assert spelled.usage.prompt_tokens == plain.usage.prompt_tokens


def test_a_chat_stream_has_the_chunks_that_openai_sends(causal: ServerProcess) -> None:
    body = {
        "messages": HELLO,
        "stream": True,
        "max_tokens": 6,
        "temperature": 0,
        "ignore_eos": True,
        "stream_options": {"include_usage": True},
    }
    status, text, headers = causal.request("POST", "/v1/chat/completions", body)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    events = text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    first, *pieces, ending, usage = [json.loads(event[6:]) for event in events[:-1]]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert ending["choices"][0]["finish_reason"] == "length"
    assert ending["choices"][0]["delta"] == {}
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 6
    assert {chunk["object"] for chunk in (first, *pieces, ending, usage)} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in (first, *pieces, ending, usage)}) == 1


def test_usage_comes_in_a_stream_only_when_asked_for(client: OpenAI) -> None:
    chunks = list(say(client, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_a_stream_joins_to_the_same_text_as_the_plain_answer(client: OpenAI) -> None:
    plain = say(client)
    chunks = list(say(client, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_end_the_answer_and_never_leak(client: OpenAI, stream: bool) -> None:
    whole = say(client, max_tokens=40).choices[0].message.content
    stop = whole[9:15]
    expected = whole[: whole.index(stop)]
    if stream:
        chunks = list(say(client, max_tokens=40, stop=["never met", stop], stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        [choice] = say(client, max_tokens=40, stop=stop).choices
        text, reason = choice.message.content, choice.finish_reason
    assert text == expected
    assert reason == "stop"


def test_max_completion_tokens_goes_before_max_tokens(client: OpenAI) -> None:
    assert say(client, max_completion_tokens=3, max_tokens=9).usage.completion_tokens == 3
    text = client.completions.create(
        model="tiny:llama", prompt="The", max_tokens=9, extra_body={"ignore_eos": True, "max_completion_tokens": 3}
    )
    assert text.usage is not None
    assert text.usage.completion_tokens == 3


def test_without_a_limit_chat_may_fill_the_context_and_completions_get_16_tokens(client: OpenAI) -> None:
    chat = say(client, max_tokens=None)
    assert chat.usage.total_tokens == 512
    assert chat.choices[0].finish_reason == "length"
    text = client.completions.create(model="tiny:llama", prompt="The", extra_body={"ignore_eos": True})
    assert text.usage is not None
    assert text.usage.completion_tokens == 16


def test_a_seed_repeats_an_answer_and_another_changes_it(client: OpenAI) -> None:
    def text(seed: int) -> str:
        return str(say(client, temperature=1.0, seed=seed).choices[0].message.content)

    assert text(7) == text(7)
    assert text(7) != text(8)


def test_n_gives_that_many_choices_and_counts_all_their_tokens(client: OpenAI) -> None:
    answer = say(client, n=3, temperature=1.0, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.usage.completion_tokens == 72
    chunks = list(say(client, n=3, temperature=1.0, seed=1, stream=True))
    for choice in answer.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index]
        assert "".join(part.delta.content or "" for part in mine) == choice.message.content
        assert mine[0].delta.role == "assistant"
        assert mine[-1].finish_reason == "length"


def test_several_prompts_give_choices_in_their_order(client: OpenAI) -> None:
    prompts = ["The sun", "A small model"]
    together = client.completions.create(model="tiny:llama", prompt=prompts, temperature=0, n=2)
    apart = [client.completions.create(model="tiny:llama", prompt=prompt, temperature=0) for prompt in prompts]
    texts = [choice.text for choice in together.choices]
    assert texts == [apart[0].choices[0].text] * 2 + [apart[1].choices[0].text] * 2


def test_token_ids_are_a_prompt_too(client: OpenAI, tokenizer: Any) -> None:
    ids = tokenizer.encode("The sun")
    by_ids = client.completions.create(model="tiny:llama", prompt=ids, temperature=0)
    assert (
        by_ids.choices[0].text
        == client.completions.create(model="tiny:llama", prompt="The sun", temperature=0).choices[0].text
    )


def test_logprobs_are_the_models_own(client: OpenAI, llama: Any, tokenizer: Any) -> None:
    answer = say(client, logprobs=True, top_logprobs=3, max_tokens=5, temperature=0.3, seed=2)
    content = answer.choices[0].logprobs.content
    assert len(content) == 5
    assert b"".join(bytes(entry.bytes) for entry in content).decode("utf-8", "replace") == (
        answer.choices[0].message.content
    )
    prompt = tokenizer.encode_chat(HELLO, {})
    with torch.inference_mode():
        logs = torch.log_softmax(llama(torch.tensor([prompt])).logits[0, -1], dim=0)
    top = content[0].top_logprobs
    assert [entry.logprob for entry in top] == pytest.approx(logs.topk(3).values.tolist(), abs=1e-4)
    assert [entry.token for entry in top] == [tokenizer.token_text(token) for token in logs.topk(3).indices.tolist()]


def test_completion_logprobs_have_the_older_form(client: OpenAI) -> None:
    answer = client.completions.create(
        model="tiny:llama", prompt="The", logprobs=2, max_tokens=4, extra_body={"ignore_eos": True}
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.token_logprobs is not None
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == 4
    assert all(value <= 0 for value in logprobs.token_logprobs)
    assert logprobs.top_logprobs is not None
    assert all(len(top) <= 2 for top in logprobs.top_logprobs)
    assert logprobs.text_offset == [len("".join(logprobs.tokens[:at])) for at in range(4)]


def test_streamed_logprobs_cover_every_token(client: OpenAI) -> None:
    chunks = list(say(client, stream=True, logprobs=True, max_tokens=10))
    entries = [entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert len(entries) == 10


def test_a_prompt_over_the_context_is_refused_and_not_cut(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny:llama", prompt="sun " * 600)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "prompt"
    assert "512" in caught.value.message


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"extra_body": {"typical_p": 0.5}}, "typical_p"),
        ({"extra_body": {"stop": [1]}}, "stop"),
    ],
)
def test_what_would_change_the_answer_and_is_not_supported_is_refused(
    client: OpenAI, wish: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        say(client, **wish)
    assert str(caught.value.param).startswith(param)
    assert caught.value.type == "invalid_request_error"


def test_what_changes_nothing_is_accepted(client: OpenAI) -> None:
    plain = say(client).choices[0].message.content
    answer = say(
        client,
        user="me",
        metadata={"a": "b"},
        store=False,
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        logit_bias={},
        frequency_penalty=0,
        prompt_cache_options={"mode": "implicit"},
        extra_body={"ignore_eos": True, "typical_p": None, "stream_options": {"include_usage": None}},
    )
    assert answer.choices[0].message.content == plain


def test_penalties_change_the_answer(client: OpenAI) -> None:
    plain = say(client).choices[0].message.content
    assert say(client, frequency_penalty=2, presence_penalty=2).choices[0].message.content != plain
    body = {"ignore_eos": True, "repetition_penalty": 5.0}
    assert say(client, extra_body=body).choices[0].message.content != plain


def test_text_parts_are_a_message_and_images_are_refused(client: OpenAI) -> None:
    parts: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "The sun rises"}]}]
    wishes: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "extra_body": {"ignore_eos": True}}
    answer = client.chat.completions.create(model="tiny:llama", messages=parts, **wishes)
    assert answer.choices[0].message.content == say(client).choices[0].message.content
    parts[0]["content"].append({"type": "image_url", "image_url": {"url": "data:"}})
    with pytest.raises(openai.BadRequestError, match="only text"):
        client.chat.completions.create(model="tiny:llama", messages=parts)


def test_what_the_template_refuses_is_a_400_with_its_words(client: OpenAI) -> None:
    messages: list[Any] = [{"role": "tool", "tool_call_id": "1", "content": "x"}]
    with pytest.raises(openai.BadRequestError, match="unknown role tool"):
        client.chat.completions.create(model="tiny:llama", messages=messages)


def test_a_client_that_leaves_stops_its_decoding(causal: ServerProcess) -> None:
    before = len(causal.events("request-end"))
    for stream in (True, False):
        connection = causal.connect()
        body = {"messages": HELLO, "stream": stream, "ignore_eos": True, "n": 4}
        starts = len(causal.events("request-start"))
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"X-API-Key": "secret"})
        causal.wait_event("request-start", starts + 4)
        if connection.sock is not None:
            connection.sock.close()
        connection.close()
    ends = causal.wait_event("request-end", before + 8)[before:]
    assert {end["reason"] for end in ends} == {"cancelled"}
    wait_for(lambda: causal.metric("running") == 0, "an idle worker")


@pytest.mark.parametrize("key", [None, "wrong", "secret2", ""])
def test_a_wrong_key_is_refused_everywhere_but_on_health(causal: ServerProcess, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/x")):
        status, body, _ = causal.request(method, path, headers=headers)
        assert status == 401
        assert body["error"]["code"] == "invalid_api_key"
    assert causal.request("GET", "/health", headers=headers)[0] == 200


def test_the_key_is_taken_as_bearer_or_in_its_own_header(causal: ServerProcess) -> None:
    assert causal.request("GET", "/v1/models", headers={"Authorization": "Bearer secret"})[0] == 200
    assert causal.request("GET", "/v1/models", headers={"X-API-Key": "secret"})[0] == 200


def test_the_key_is_in_no_argument_and_no_line(causal: ServerProcess) -> None:
    assert "secret" not in " ".join(map(str, causal.process.args))  # type: ignore[arg-type]
    assert not [line for line in causal.lines + causal.errors if "secret" in line]


def test_models_lists_the_alias(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny:llama"]
    assert client.models.retrieve("tiny:llama").id == "tiny:llama"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_health_says_what_is_really_in_use(causal: ServerProcess) -> None:
    status, health, _ = causal.request("GET", "/health")
    assert status == 200
    assert health["status"] == "healthy"
    assert (health["model"], health["model_type"], health["architecture"]) == ("tiny:llama", "causal", "llama")
    assert (health["device"], health["dtype"], health["attention"]) == ("cpu", "float32", "sdpa")
    assert health["batching"] == "in flight"
    assert (health["torch"], health["transformers"]) == (torch.__version__, transformers.__version__)
    assert health["transformers_tried"] == list(TRIED_TRANSFORMERS)
    [ready] = causal.events("ready")
    assert (ready["model_type"], ready["architecture"]) == ("causal", "llama")
    assert (ready["device"], ready["dtype"], ready["attention"]) == ("cpu", "float32", "sdpa")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", "{", 400),
        ("POST", "/v1/chat/completions", "[]", 400),
        ("POST", "/v1/chat/completions", "{}", 400),
        ("POST", "/v1/completions", b"\xff\xfe\x00", 400),
        ("POST", "/v1/classify", "{}", 404),
        ("GET", "/v1/completions", None, 405),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_errors_are_openai_objects(causal: ServerProcess, method: str, path: str, body: Any, status: int) -> None:
    code, answer, _ = causal.request(method, path, body)
    assert code == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "half \ud83d"}),
        ("/v1/completions", {"prompt": ["fine", "half \ud83d"]}),
        ("/v1/completions", {"prompt": [1, 10**9]}),
        ("/v1/completions", {"prompt": [-1]}),
        ("/v1/completions", {"prompt": []}),
        ("/v1/completions", {"prompt": ["x"] * 100, "n": 100}),
        ("/v1/completions", {"prompt": "x", "seed": 1.5}),
        ("/v1/completions", {"prompt": "x", "top_k": 10**400}),
        ("/v1/completions", {"prompt": "x", "best_of": True}),
        ("/v1/completions", {"prompt": "x", "best_of": 2}),
        ("/v1/completions", {"prompt": "x", "echo": 0}),
        ("/v1/completions", {"prompt": "x", "echo": True}),
        ("/v1/completions", {"prompt": "x", "repetition_penalty": 1e-40}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 10**30, "n": 129}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud83d"}]}]}),
        ("/v1/chat/completions", {"messages": HELLO, "chat_template_kwargs": {"chat_template": "mine"}}),
        ("/v1/chat/completions", {"messages": HELLO, "chat_template_kwargs": {"messages": []}}),
        ("/v1/chat/completions", {"messages": HELLO, "stop": ["x"] * 17}),
    ],
)
def test_nothing_that_a_client_sends_is_a_server_error(causal: ServerProcess, path: str, body: Any) -> None:
    status, answer, _ = causal.request("POST", path, body)
    assert status == 400, answer
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[" * 100_000, "The body is nested too deeply"),
        ('{"messages": ' + "9" * 5000 + "}", "The body has a number of more than 4300 digits"),
        ('{"messages": []}', "messages is empty"),
        ('{"messages": [{"content": "x"}]}', "messages[0].role is missing"),
        ('{"messages": [{"role": "user", "text": "x"}]}', "messages[0].content is missing"),
    ],
)
def test_an_error_says_what_is_wrong_in_words_of_its_own(causal: ServerProcess, body: str, message: str) -> None:
    status, answer, _ = causal.request("POST", "/v1/chat/completions", body)
    assert (status, answer["error"]["message"]) == (400, message)


def test_odd_wishes_that_are_allowed_are_answered(causal: ServerProcess) -> None:
    for wish in (
        {"max_tokens": 10**30},
        {"seed": 10**40},
        {"seed": -1},
        {"stop": ""},
        {"stop": []},
        {"stop": "\ud83d"},
        {"top_k": 10**9},
    ):
        body = {"prompt": "The sun", "temperature": 0.01, "top_p": 0.0, **wish}
        assert causal.request("POST", "/v1/completions", body)[0] == 200, wish


def test_head_is_answered_as_get_without_a_body(causal: ServerProcess) -> None:
    for path in ("/health", "/v1/models", "/metrics"):
        status, body, headers = causal.request("HEAD", path)
        assert (status, body) == (200, None), path
        assert int(headers["content-length"]) > 0


def test_an_error_does_not_repeat_the_prompt(causal: ServerProcess) -> None:
    _, answer, _ = causal.request("POST", "/v1/chat/completions", {"messages": "my private words"})
    assert "private" not in json.dumps(answer)
    assert not [line for line in causal.lines + causal.errors if "private" in line]


def test_metrics_are_prometheus_text_and_count(causal: ServerProcess, client: OpenAI) -> None:
    before = causal.metric("generated_tokens_total")
    say(client, max_tokens=5)
    assert causal.metric("generated_tokens_total") == before + 5
    text = causal.request("GET", "/metrics")[1]
    assert '# TYPE solar_requests_total counter\nsolar_requests_total{path="/health",status="200"}' in text


def test_many_clients_at_once_get_what_each_gets_alone(client: OpenAI) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(at: int) -> str:
        answer = client.completions.create(
            model="tiny:llama", prompt=f"The sun {at} " * (at % 5 + 1), temperature=0, max_tokens=12
        )
        return answer.choices[0].text

    alone = [ask(at) for at in range(24)]
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(ask, range(24))) == alone
