"""What a chat template wants: text or content parts, arguments as text or objects, which roles, content beside calls.

Jinja drops what it does not know without an error, so that a template is asked by rendering a word that must appear.
llama.cpp finds out what its templates can do in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

WORD = "solarprobe"
FUNCTION = "solarfunction"
# The result has another name than the function: a template may show it and leave the call out.
RESULT = "solarresult"
ARGUMENTS = {"solarkey": "solarvalue"}
ARGUMENTS_TEXT = json.dumps(ARGUMENTS)
# Mistral's templates want nine letters.
CALL_ID = "solarcall"

Message = dict[str, Any]


@dataclass(frozen=True)
class CallForm:
    """How an assistant's message with calls must come.

    `shown` is false where the template leaves the calls out. `content` is what stands for no text: "" or None.
    `arguments` must come as `text` or as an `object`; `either` where neither shows.
    """

    shown: bool = True
    content: str | None = ""
    arguments: str = "either"


class TemplateProbe:
    """The answers are found once and kept."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.form = cache(self._form)
        self.calls = cache(self._calls)

    def _form(self, role: str) -> str:
        """How a message of a role must come: as `text`, as `parts`, or `nothing`, where it is left out in any form.

        A role that the template refuses in words is taken for `text`, so that its own words reach the client.
        """
        shown = [self._shows(role, content) for content in (WORD, _parts(WORD))]
        return "text" if shown[0] else "parts" if shown[1] else "text" if None in shown else "nothing"

    def _shows(self, role: str, content: Any) -> bool | None:
        """Whether the content of a message of this role gets into the prompt. None where no chat with it is taken."""
        wanted = self.form("user") if role not in ("user", "system") else "text"
        user: Message = {"role": "user", "content": _parts("x") if wanted == "parts" else "x"}
        asked: Message = {"role": role, "content": content}
        chats: list[list[Message]] = [[user, asked, user], [user, asked], [asked, user], [asked]]
        if role == "user":
            chats = [[asked]]
        elif role == "system":
            chats = [[asked, user], [asked, {"role": "user", "content": _parts("x")}], [asked]]
        else:
            forms = (ARGUMENTS, ARGUMENTS_TEXT)
            chats += [[user, _caller("tool_calls", text, form), asked] for text in ("", None) for form in forms]
        rendered = [text for chat in chats if (text := self._render(chat)) is not None]
        return any(WORD in text for text in rendered) if rendered else None

    @cached_property
    def knows_developer(self) -> bool:
        """A template that shows any role's name has not been taught this one for that."""
        named = any(f"{quote}developer{quote}" in self._source for quote in "'\"")
        return named and self.form("developer") != "nothing" and bool(self._shows("developer", WORD))

    @cached_property
    def _source(self) -> str:
        template = getattr(self._tokenizer, "chat_template", None)
        return json.dumps(template) if isinstance(template, dict) else str(template)

    def _calls(self, field: str, with_text: bool) -> CallForm:
        """For calls in `tool_calls` or `function_call`, beside a text or without one.

        DeepSeek-R1's templates show calls only where the content is none.
        """
        taken = False
        for content in (WORD,) if with_text else ("", None):
            rendered = {form: self._render_caller(field, content, form) for form in (ARGUMENTS_TEXT, None)}
            taken = taken or any(text is not None for text in rendered.values())
            if any(text and (FUNCTION in text or "solarkey" in text) for text in rendered.values()):
                return CallForm(True, content, _arguments_form(rendered[ARGUMENTS_TEXT], rendered[None]))
        # A template that refuses them in words is left to say so.
        return CallForm(shown=not taken)

    def _render_caller(self, field: str, content: str | None, arguments_text: str | None) -> str | None:
        """A chat with a call whose arguments are text, or an object where no text is given."""
        parts = self.form("user") == "parts"
        user: Message = {"role": "user", "content": _parts("x") if parts else "x"}
        shown: Any = _parts(content) if content is not None and self.form("assistant") == "parts" else content
        asked = _caller(field, shown, ARGUMENTS if arguments_text is None else arguments_text)
        role = "tool" if field == "tool_calls" else "function"
        result: Message = {"role": role, "tool_call_id": CALL_ID, "name": RESULT, "content": "x"}
        answers = (self._render(chat) for chat in ([user, asked, result], [user, asked]))
        return next((text for text in answers if text is not None), None)

    def _render(self, chat: list[Message]) -> str | None:
        try:
            return render(self._tokenizer, chat)
        except Exception:
            return None


def render(
    tokenizer: Any, chat: Sequence[Message], variables: dict[str, Any] | None = None, prompt_answer: bool = False
) -> str:
    """The prompt's text. Raises what the template raises.

    transformers takes a content of None out of a message, and then it is not none to Jinja but undefined.
    """
    variables = variables or {}
    if all(message["content"] is not None for message in chat):
        return str(
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt_answer, **variables)
        )
    from transformers.utils.chat_template_utils import render_jinja_template

    [text], _ = render_jinja_template(
        conversations=[list(chat)],
        chat_template=tokenizer.get_chat_template(tools=variables.get("tools")),
        add_generation_prompt=prompt_answer,
        **{**tokenizer.special_tokens_map, **variables},
    )
    return str(text)


def _arguments_form(with_text: str | None, with_object: str | None) -> str:
    if with_text is not None and ARGUMENTS_TEXT in with_text:
        return "text"
    if with_object is not None and "solarkey" in with_object and str(ARGUMENTS) not in with_object:
        return "object"
    return "either"


def _parts(text: str) -> list[Message]:
    return [{"type": "text", "text": text}]


def _caller(field: str, content: Any, arguments: Any) -> Message:
    function = {"name": FUNCTION, "arguments": arguments}
    calls: Any = [{"id": CALL_ID, "type": "function", "function": function}] if field == "tool_calls" else function
    return {"role": "assistant", "content": content, field: calls}
