"""What reaches the prompt: each message's text, whatever form a template wants it in."""

from __future__ import annotations

from typing import Any

import pytest

from solar_pyserver.chat_template import ChatTemplate
from solar_pyserver.errors import ApiError
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


def prompt(template: str, *messages: dict[str, Any], **variables: Any) -> str:
    raw = byte_tokenizer(template=template)
    request = ChatRequest.model_validate({"messages": list(messages)})
    ids = ChatTemplate(raw).encode(request.template_messages(), variables)
    return str(raw.decode(ids)).removeprefix("<s>")


def say(role: str, content: Any = "good day") -> dict[str, Any]:
    return {"role": role, "content": content}


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


@pytest.mark.parametrize("role", ["system", "assistant", "tool", "anything"])
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
    "{% endif %}{% endfor %}"
)


def test_a_result_that_is_shown_after_its_call_only_is_not_refused() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = [say("user", "sun"), {"role": "assistant", "content": None, "tool_calls": [call]}, say("tool", "warm")]
    assert prompt(TOOL_AFTER_CALL, *chat).endswith("<|tool|>warm")
