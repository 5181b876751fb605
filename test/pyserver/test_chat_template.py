"""What reaches the prompt: each message's text, whatever form a template wants it in."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from solar_pyserver.chat_template import ChatTemplate
from solar_pyserver.errors import ApiError
from solar_pyserver.parsing import parse_body
from solar_pyserver.schemas import ChatRequest
from tiny_models import CHAT_TEMPLATE, byte_tokenizer

TEXT = "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
# As Llama-Guard-3-1B's.
PARTS = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% for content in message['content'] %}{% if content['type'] == 'text' %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
ALTERNATING = (
    "{% if messages[0].role != 'user' %}{{ raise_exception('begin with user') }}{% endif %}"
    "{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% endfor %}" + PARTS
)
EITHER = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}[{{ part.text }}]{% endfor %}{% endif %}{% endfor %}"
)
# System as text, the rest as parts.
MIXED = (
    "{% if messages[0].role == 'system' %}<|system|>{{ messages[0].content + '' }}"
    "{% set messages = messages[1:] %}{% endif %}" + PARTS
)
USERS_ONLY = "{% for message in messages %}{% if message.role == 'user' %}{{ message.content }}{% endif %}{% endfor %}"
NAMED = (
    "{% for message in messages %}{% if message.role == 'developer' %}<|dev|>{{ message.content }}"
    "{% elif message.role in ['system', 'user'] %}<|{{ message.role }}|>{{ message.content }}{% endif %}{% endfor %}"
)
KNOWN = NAMED.replace("{% if message.role == 'developer' %}<|dev|>{{ message.content }}{% elif", "{% if")


def prompt(template: str, *messages: dict[str, Any], **variables: Any) -> str:
    raw = byte_tokenizer(template=template)
    request = ChatRequest.model_validate({"messages": list(messages)})
    ids = ChatTemplate(raw).encode(request.template_messages(), variables)
    return str(raw.decode(ids)).removeprefix("<s>")


def say(role: str, content: Any = "good day") -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_call_that_is_left_out_is_refused_where_the_results_name_is_shown() -> None:
    named = "{% for m in messages %}<|{{ m.role }} {{ m.name }}|>{{ m.content }}{% endfor %}"
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    with pytest.raises(ApiError) as caught:
        prompt(named, say("user"), {**say("assistant", ""), "tool_calls": [call]}, say("tool", "warm"))
    assert caught.value.param == "messages[1].tool_calls"


@pytest.mark.parametrize("role", ["user", "system", "tool"])
@pytest.mark.parametrize("message", [{}, {"content": None}, {"text": "good day"}])
def test_a_message_without_content_is_refused_unless_it_is_the_assistants(role: str, message: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        prompt(TEXT, {"role": role, **message})
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content")
    assert prompt(TEXT, say("user"), {"role": "assistant"}) == "<|user|>good day<|assistant|>"


@pytest.mark.parametrize("template", [TEXT, PARTS, ALTERNATING, EITHER])
@pytest.mark.parametrize("content", ["good day", [{"type": "text", "text": "good day"}]])
def test_a_users_text_is_in_the_prompt(template: str, content: Any) -> None:
    assert prompt(template, say("user", content)) == "<|user|>good day"


def test_several_parts_stay_parts_where_the_template_wants_parts() -> None:
    content = [{"type": "text", "text": "good "}, {"type": "text", "text": "day"}]
    marked = PARTS.replace("{{ content['text'] }}", "[{{ content['text'] }}]")
    assert prompt(marked, say("user", content)) == "<|user|>[good ][day]"
    assert prompt(TEXT, say("user", content)) == "<|user|>good day"


@pytest.mark.parametrize("template", [TEXT, PARTS, EITHER, MIXED])
def test_the_texts_of_all_roles_are_in_the_prompt(template: str) -> None:
    chat = [say("system", "warm"), say("user", "sun"), say("assistant", "rises"), say("user", "today")]
    assert prompt(template, *chat) == "<|system|>warm<|user|>sun<|assistant|>rises<|user|>today"


def test_a_template_that_wants_turns_is_asked_in_turns() -> None:
    chat = [say("user", "sun"), say("assistant", "rises"), say("user", "today")]
    assert prompt(ALTERNATING, *chat) == "<|user|>sun<|assistant|>rises<|user|>today"


@pytest.mark.parametrize("role", ["system", "developer", "assistant", "tool", "anything"])
def test_a_message_that_the_template_would_leave_out_is_refused(role: str) -> None:
    with pytest.raises(ApiError) as caught:
        prompt(USERS_ONLY, say(role), say("user"))
    assert caught.value.status == 400
    assert caught.value.param == "messages[0].role"
    assert "leaves out messages of the role" in str(caught.value)


def test_a_template_refuses_in_its_own_words() -> None:
    with pytest.raises(ApiError, match="unknown role tool"):
        prompt(CHAT_TEMPLATE, say("user"), say("tool"))
    with pytest.raises(ApiError, match="begin with user"):
        prompt(ALTERNATING, say("system"), say("user"))


TOOL_AFTER_CALL = (
    "{% for message in messages %}{% if message.role == 'tool' %}{% if messages[loop.index0 - 1].tool_calls %}"
    "<|tool|>{{ message.content }}{% endif %}{% else %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}({{ call.function.name }}){% endfor %}{% endif %}{% endfor %}"
)


def test_a_result_that_is_shown_after_its_call_only_is_not_refused() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = [say("user", "sun"), {"role": "assistant", "content": None, "tool_calls": [call]}, say("tool", "warm")]
    assert prompt(TOOL_AFTER_CALL, *chat).endswith("<|tool|>warm")


@pytest.mark.parametrize(
    ("template", "start"),
    [
        (KNOWN, "<|system|>"),
        (CHAT_TEMPLATE, "<|system|>"),
        (TEXT, "<|system|>"),
        (PARTS, "<|system|>"),
        (NAMED, "<|dev|>"),
    ],
)
def test_developer_is_system_where_the_template_does_not_know_it(template: str, start: str) -> None:
    assert prompt(template, say("developer", "warm"), say("user", "sun")).startswith(f"{start}warm")


def calls(shown: str) -> str:
    return TEXT.replace(
        "{% endfor %}",
        "{% if message.tool_calls %}{% for call in message.tool_calls %}("
        + shown
        + "){% endfor %}{% endif %}{% endfor %}",
    )


SENT = {"city": "Wörms", "days": 2}
PLAIN = "{{ call.function.arguments }}"
JSON = "{{ call.function.arguments | tojson }}"
WHOLE = "{{ call | tojson }}"
JOINED = "{{ 'f ' + call.function.arguments }}"
ITEMS = "{% for name, value in call.function.arguments.items() %}{{ name }}={{ value }};{% endfor %}"
TESTED = (
    "{% if call.function.arguments is string %}{{ call.function.arguments }}{% else %}"
    "{{ call.function.arguments | tojson }}{% endif %}"
)


@pytest.mark.parametrize("sent", [SENT, json.dumps(SENT, ensure_ascii=False)])
@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (PLAIN, '({"city": "Wörms", "days": 2})'),
        (JSON, '({"city": "Wörms", "days": 2})'),
        (JOINED, '(f {"city": "Wörms", "days": 2})'),
        (ITEMS, "(city=Wörms;days=2;)"),
        (TESTED, '({"city": "Wörms", "days": 2})'),
        (WHOLE, '"arguments": {"city": "Wörms", "days": 2}'),
    ],
)
def test_arguments_of_tool_calls_are_encoded_once(shown: str, expected: str, sent: Any) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": sent}}
    chat = [say("user", "sun"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert expected in prompt(calls(shown), *chat)


def test_arguments_that_are_no_json_are_named() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{city"}}
    chat = [say("user", "sun"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    with pytest.raises(ApiError) as caught:
        prompt(calls(JSON), *chat)
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"
    empty = {**call, "function": {"name": "f", "arguments": ""}}
    assert "({})" in prompt(calls(JSON), chat[0], {"role": "assistant", "content": None, "tool_calls": [empty]})


SHOWN = "{{ call['function']['name'] + call['function']['arguments'] }}"
# As those of DeepSeek-R1 and its distillations: calls are shown where there is no content.
NONE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}<|user|>{{ message['content'] }}{% endif %}"
    "{% if message['role'] == 'assistant' and message['content'] is none %}<|assistant|>"
    "{% for call in message['tool_calls'] %}(" + SHOWN + "){% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' and message['content'] is not none %}<|assistant|>{{ message['content'] }}"
    "{% endif %}{% if message['role'] == 'tool' %}<|tool|>{{ message['content'] }}{% endif %}{% endfor %}"
)
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def caller(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **(fields or {"tool_calls": [CALL]})}


@pytest.mark.parametrize("content", [None, "", []])
def test_a_call_is_in_the_prompt_where_the_template_shows_it_beside_none_only(content: Any) -> None:
    chat = [say("user", "sun"), caller(content), say("tool", "warm")]
    assert prompt(NONE, *chat) == '<|user|>sun<|assistant|>(f{"a": 1})<|tool|>warm'


def test_variables_reach_a_template_that_shows_calls_beside_none_only() -> None:
    chat = [say("user", "sun"), caller(None)]
    assert prompt(NONE + "{{ mood }}{{ eos_token }}", *chat, mood="calm").endswith('(f{"a": 1})calm</s>')


def test_the_template_for_tools_is_taken_for_such_a_call_too() -> None:
    templates: Any = {"default": NONE, "tool_use": NONE + "<|with tools|>"}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    chat = [say("user", "sun"), caller(None)]
    assert prompt(templates, *chat, tools=[tool]).endswith('(f{"a": 1})<|with tools|>')
    assert prompt(templates, *chat).endswith('(f{"a": 1})')


def test_arguments_have_the_form_that_such_a_template_wants() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    assert prompt(NONE, say("user", "sun"), caller(None, tool_calls=[call])).endswith('(f{"a": 1})')
    listed = NONE.replace(SHOWN, ITEMS)
    assert prompt(listed, say("user", "sun"), caller("")).endswith("(a=1;)")


@pytest.mark.parametrize(
    ("template", "message", "field", "words"),
    [
        (TEXT, caller(None), "tool_calls", "leaves out tool_calls"),
        (PARTS, caller(""), "tool_calls", "leaves out tool_calls"),
        (NONE, caller("words"), "tool_calls", "leaves out tool_calls beside a text"),
        (
            calls(PLAIN),
            caller(None, function_call={"name": "f", "arguments": "{}"}),
            "function_call",
            "leaves out function_call",
        ),
    ],
)
def test_calls_that_the_template_would_leave_out_are_refused(
    template: str, message: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(ApiError) as caught:
        prompt(template, say("user", "sun"), message)
    assert caught.value.status == 400
    assert caught.value.param == f"messages[1].{field}"
    assert str(caught.value).endswith(words)


def test_a_template_that_refuses_calls_does_so_in_its_own_words() -> None:
    refusing = (
        "{% for message in messages %}{% if message.tool_calls %}{{ raise_exception('no calls here') }}{% endif %}"
    )
    with pytest.raises(ApiError, match="no calls here"):
        prompt(refusing + "{{ message.content }}{% endfor %}", say("user", "sun"), caller(None))


def test_a_call_beside_a_text_is_in_the_prompt_where_the_template_shows_both() -> None:
    assert prompt(calls(PLAIN), say("user", "sun"), caller("words")).endswith('words({"a": 1})')


@pytest.mark.parametrize("name", ["messages", "conversation", "add_generation_prompt", "chat_template", "tokenize"])
def test_what_the_server_sets_itself_is_no_variable(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        prompt(TEXT, say("user"), **{name: "x"})
    assert caught.value.param == f"chat_template_kwargs.{name}"
    assert str(caught.value) == f"chat_template_kwargs.{name} cannot be set by a request: the server sets it"


def test_every_setting_of_transformers_own_is_the_servers() -> None:
    """A release may bring new ones."""
    raw = byte_tokenizer(template=TEXT)
    names = inspect.signature(raw.apply_chat_template).parameters.keys() - {"kwargs", "tools", "documents"}
    assert "sanitize_control_tokens" in names or "continue_final_message" in names
    for name in names:
        with pytest.raises(ApiError, match="the server sets it"):
            ChatTemplate(raw).encode([{"role": "user", "content": ["x"]}], {name: True})


THINKING = TEXT + "{% if enable_thinking is defined and not enable_thinking %}<|quiet|>{% endif %}"


def test_a_request_may_set_the_variables_of_a_template() -> None:
    assert prompt(THINKING, say("user"), enable_thinking=False) == "<|user|>good day<|quiet|>"
    assert prompt(THINKING, say("user"), enable_thinking=True) == "<|user|>good day"
    shown = TEXT + "{% for tool in tools or [] %}<|{{ tool.function.name }}|>{% endfor %}"
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert prompt(shown, say("user"), tools=[tool]) == "<|user|>good day<|f|>"


@pytest.mark.parametrize("value", ["x", 1, [], True])
def test_variables_are_an_object(value: Any) -> None:
    body = {"messages": [say("user")], "chat_template_kwargs": value}
    with pytest.raises(ApiError) as caught:
        parse_body(ChatRequest, json.dumps(body).encode())
    assert caught.value.param == "chat_template_kwargs"
    assert str(caught.value) == "chat_template_kwargs: Input should be an object"
