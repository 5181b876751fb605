"""From a request's messages to the tokens of a prompt, in the form that the model's chat template wants them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any

from .errors import ApiError, one_line
from .template_probe import Message, TemplateProbe, render

# A request may set a template's variables, but neither bring a template of its own nor change what is made of it.
OWN_VARIABLES = frozenset(
    {"messages", "conversation", "conversations", "add_generation_prompt", "chat_template", "tokenize", "return_dict"}
)
# Of the names that apply_chat_template has for its own, a request may set these.
FREE_PARAMETERS = frozenset({"tools", "documents"})


class ChatTemplate:
    """Raises the 400 for messages that the template refuses, or would leave out."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._probe = TemplateProbe(tokenizer)
        self._reserved = OWN_VARIABLES | _parameters(tokenizer.apply_chat_template) - FREE_PARAMETERS

    def encode(self, messages: Sequence[Message], variables: dict[str, Any]) -> list[int]:
        """`messages` have the list of their texts as content; `variables` are the request's `chat_template_kwargs`."""
        for name in variables:
            if name in self._reserved:
                where = f"chat_template_kwargs.{name}"
                raise ApiError(
                    400,
                    f"{where} cannot be set by a request: the server sets it",
                    param=where,
                    code="unsupported_parameter",
                )
        ready = [self._message(message, at) for at, message in enumerate(messages)]
        try:
            return self._tokens(ready, variables)
        except Exception as error:
            raise ApiError(
                400, f"The chat template refused the messages: {one_line(error)}", param="messages"
            ) from error

    def _tokens(self, chat: list[Message], variables: dict[str, Any]) -> list[int]:
        if any(message["content"] is None for message in chat):
            text = render(self._tokenizer, chat, variables, prompt_answer=True)
            encoded = self._tokenizer(text, add_special_tokens=False)
        else:
            encoded = self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=True, **variables
            )
        return [int(token) for token in encoded["input_ids"]]

    def _message(self, message: Message, at: int) -> Message:
        texts = message["content"]
        role = message["role"]
        if role == "developer" and not self._probe.knows_developer:
            role = "system"
        form = self._probe.form(role)
        if form == "nothing" and any(texts):
            raise ApiError(
                400,
                f"messages[{at}]: this model's chat template leaves out messages of the role {role}",
                param=f"messages[{at}].role",
                code="unsupported_role",
            )
        content: Any = [{"type": "text", "text": text} for text in texts] if form == "parts" else "".join(texts)
        ready = {**message, "role": role, "content": content}
        for field in ("tool_calls", "function_call"):
            if message.get(field):
                self._put_calls(ready, field, any(texts), f"messages[{at}].{field}")
        return ready

    def _put_calls(self, message: Message, field: str, with_text: bool, where: str) -> None:
        """Puts an assistant's calls into its message, in the form that the template shows."""
        form = self._probe.calls(field, with_text)
        if not form.shown:
            beside = " beside a text" if with_text and self._probe.calls(field, False).shown else ""
            raise ApiError(
                400,
                f"{where}: this model's chat template leaves out {field}{beside}",
                param=where,
                code="unsupported_tool_calls",
            )
        message[field] = _calls(message[field], form.arguments, where)
        if form.content is None:
            message["content"] = None


def _parameters(function: Any) -> frozenset[str]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(name for name, entry in inspect.signature(function).parameters.items() if entry.kind in named)


def _calls(calls: Any, form: str, where: str) -> Any:
    if isinstance(calls, list):
        return [_calls(call, form, f"{where}[{at}]") for at, call in enumerate(calls)]
    if not isinstance(calls, dict):
        raise ApiError(400, f"{where} is not an object", param=where, code="invalid_type")
    if isinstance(calls.get("function"), dict):
        return {**calls, "function": _calls(calls["function"], form, f"{where}.function")}
    if "arguments" not in calls:
        return calls
    return {**calls, "arguments": _arguments(calls["arguments"], form, f"{where}.arguments")}


def _arguments(arguments: Any, form: str, where: str) -> Any:
    if form == "text" and not isinstance(arguments, str):
        return json.dumps(arguments, ensure_ascii=False)
    if form == "object" and isinstance(arguments, str):
        try:
            return json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ApiError(400, f"{where} is not JSON", param=where, code="invalid_value") from error
    return arguments
