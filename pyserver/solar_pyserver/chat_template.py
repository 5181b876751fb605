"""A chat template, and what it wants: text or content parts, arguments as text or objects, which roles.

Jinja drops what it does not know without an error, so that a template is asked by rendering a word that must appear.
llama.cpp finds out what its templates can do in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from .errors import ApiError, one_line

WORD = "solarprobe"
ARGUMENTS = {"solarkey": "solarvalue"}
ARGUMENTS_TEXT = json.dumps(ARGUMENTS)
# Mistral's templates want nine letters.
CALL_ID = "solarcall"

Message = dict[str, Any]


class ChatTemplate:
    """Raises the 400 for messages that the template refuses, or would leave out."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._forms: dict[str, str] = {}

    def encode(self, messages: Sequence[Message], variables: dict[str, Any]) -> list[int]:
        """`messages` have the list of their texts as content."""
        ready = [self._message(message, at) for at, message in enumerate(messages)]
        try:
            encoded = self._tokenizer.apply_chat_template(
                ready, add_generation_prompt=True, tokenize=True, return_dict=True, **variables
            )
        except Exception as error:
            raise ApiError(
                400, f"The chat template refused the messages: {one_line(error)}", param="messages"
            ) from error
        return [int(token) for token in encoded["input_ids"]]

    def _message(self, message: Message, at: int) -> Message:
        texts = message["content"]
        role = message["role"]
        if role == "developer" and not self._knows_developer:
            role = "system"
        ready = {**message, "role": role, "content": "".join(texts)}
        for name, calls in (("tool_calls", message.get("tool_calls")), ("function_call", message.get("function_call"))):
            if calls:
                ready[name] = self._calls(calls, f"messages[{at}].{name}")
        form = self.form(role)
        if form == "nothing" and any(texts):
            raise ApiError(
                400,
                f"messages[{at}]: this model's chat template leaves out messages of the role {role}",
                param=f"messages[{at}].role",
                code="unsupported_role",
            )
        if form == "parts":
            ready["content"] = [{"type": "text", "text": text} for text in texts]
        return ready

    def form(self, role: str) -> str:
        """How a message of a role must come: as `text`, as `parts`, or `nothing`, where it is left out in any form.

        A role that the template refuses in words is taken for `text`, so that its own words reach the client.
        """
        if role not in self._forms:
            parts = [{"type": "text", "text": WORD}]
            shown = [self._shows(role, content) for content in (WORD, parts)]
            self._forms[role] = "text" if shown[0] else "parts" if shown[1] else "text" if None in shown else "nothing"
        return self._forms[role]

    def _shows(self, role: str, content: Any) -> bool | None:
        """Whether the content of a message of this role gets into the prompt. None where no chat with it is taken."""
        wanted = self.form("user") if role not in ("user", "system") else "text"
        filler: Any = "x" if wanted != "parts" else [{"type": "text", "text": "x"}]
        user: Message = {"role": "user", "content": filler}
        asked: Message = {"role": role, "content": content}
        called: list[Message] = [
            {"role": "assistant", "content": "", "tool_calls": [_call(form)]} for form in (ARGUMENTS, ARGUMENTS_TEXT)
        ]
        chats: list[list[Message]] = [
            [user, asked, user],
            [user, asked],
            [asked, user],
            [asked],
            *([user, call, asked] for call in called),
        ]
        if role == "user":
            chats = [[asked]]
        elif role == "system":
            chats = [[asked, user], [asked, {"role": "user", "content": [{"type": "text", "text": "x"}]}], [asked]]
        rendered = [text for chat in chats if (text := self._render(chat)) is not None]
        return any(WORD in text for text in rendered) if rendered else None

    @cached_property
    def _knows_developer(self) -> bool:
        """A template that shows any role's name has not been taught this one for that."""
        named = any(f"{quote}developer{quote}" in self._source for quote in "'\"")
        return named and self.form("developer") != "nothing" and bool(self._shows("developer", WORD))

    @cached_property
    def _source(self) -> str:
        template = getattr(self._tokenizer, "chat_template", None)
        return json.dumps(template) if isinstance(template, dict) else str(template)

    @cached_property
    def _arguments(self) -> str:
        """Whether the arguments of a tool call must come as `text` or as an `object`; `either` where neither shows."""
        text = self._render_call(ARGUMENTS_TEXT)
        if text is not None and ARGUMENTS_TEXT in text:
            return "text"
        shown = self._render_call(ARGUMENTS)
        if shown is not None and "solarkey" in shown and str(ARGUMENTS) not in shown:
            return "object"
        return "either"

    def _render_call(self, arguments: Any) -> str | None:
        form = self.form("user")
        user = {"role": "user", "content": [{"type": "text", "text": "x"}] if form == "parts" else "x"}
        asked = {"role": "assistant", "content": "", "tool_calls": [_call(arguments)]}
        result = {"role": "tool", "tool_call_id": CALL_ID, "name": "f", "content": "x"}
        chats: list[list[Message]] = [[user, asked, result], [user, asked]]
        for chat in chats:
            rendered = self._render(chat)
            if rendered is not None:
                return rendered
        return None

    def _calls(self, calls: Any, where: str) -> Any:
        if isinstance(calls, list):
            return [self._calls(call, f"{where}[{at}]") for at, call in enumerate(calls)]
        if not isinstance(calls, dict):
            raise ApiError(400, f"{where} is not an object", param=where, code="invalid_type")
        if isinstance(calls.get("function"), dict):
            return {**calls, "function": self._calls(calls["function"], f"{where}.function")}
        if "arguments" not in calls:
            return calls
        return {**calls, "arguments": self._argument(calls["arguments"], f"{where}.arguments")}

    def _argument(self, arguments: Any, where: str) -> Any:
        if self._arguments == "text" and not isinstance(arguments, str):
            return json.dumps(arguments, ensure_ascii=False)
        if self._arguments == "object" and isinstance(arguments, str):
            try:
                return json.loads(arguments) if arguments.strip() else {}
            except ValueError as error:
                raise ApiError(400, f"{where} is not JSON", param=where, code="invalid_value") from error
        return arguments

    def _render(self, chat: list[Message]) -> str | None:
        try:
            return str(self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False))
        except Exception:
            return None


def _call(arguments: Any) -> dict[str, Any]:
    return {"id": CALL_ID, "type": "function", "function": {"name": "f", "arguments": arguments}}
