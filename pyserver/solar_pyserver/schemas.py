"""What clients may send. A field that would change the answer and is not supported is refused, never ignored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from .errors import ApiError
from .sampling import SamplingParams

MAX_CHOICES = 128
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
MAX_TEXTS = 2048
# Rows that one request may ask for, prompts x n.
MAX_ROWS = 2048
# No limit but the context, as in llama-server.
UNLIMITED = -1
ANY_SEED = -1

# Unsupported fields, with the values that change nothing and are therefore accepted.
NEUTRAL: dict[str, tuple[object, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "web_search_options": (),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StreamOptions(BaseModel):
    """Further options of other servers are ignored: they say how an answer is sent and not what it is."""

    model_config = ConfigDict(extra="ignore", strict=True)

    include_usage: bool | None = None


def _limit(value: int) -> int:
    if value < 1 and value != UNLIMITED:
        raise PydanticCustomError("limit", "Input should be 1 or more, or -1 for no limit")
    return value


Limit = Annotated[int, AfterValidator(_limit)]


class _Generation(_Strict):
    """The fields that chat and completions share. Those of type Any change nothing, or are checked by `NEUTRAL`."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    ignore_eos: bool | None = None
    logit_bias: Any = None

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    prompt_cache_options: Any = None
    cache_prompt: Any = None
    id_slot: Any = None
    timings_per_token: Any = None

    def sampling(self, defaults: SamplingParams) -> SamplingParams:
        """The request's parameters. Where it gives none, the checkpoint's `defaults` count."""

        def given(value: float | None, default: float) -> float:
            return default if value is None else value

        return SamplingParams(
            temperature=given(self.temperature, defaults.temperature),
            top_p=given(self.top_p, defaults.top_p),
            top_k=defaults.top_k if self.top_k is None else max(0, self.top_k),
            min_p=given(self.min_p, defaults.min_p),
            repetition_penalty=given(self.repetition_penalty, defaults.repetition_penalty),
            presence_penalty=given(self.presence_penalty, 0.0),
            frequency_penalty=given(self.frequency_penalty, 0.0),
            seed=None if self.seed == ANY_SEED else self.seed,
            suppressed=defaults.suppressed,
        )

    def stops(self) -> tuple[str, ...]:
        """The stop strings. Raises the 400 for too many."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stops) > MAX_STOPS:
            raise ApiError(400, f"stop has {len(stops)} strings; {MAX_STOPS} at most", param="stop")
        return tuple(stop for stop in stops if stop)

    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class Message(BaseModel):
    """A chat message; further fields (a name, tool calls) go to the template as they are."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: str
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(_Generation):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    def template_messages(self) -> list[dict[str, Any]]:
        """Plain dictionaries. The content is a list of texts: templates differ in the form that they want."""
        return [
            {**message.model_dump(exclude_none=True), "content": _texts_of(message, at)}
            for at, message in enumerate(self.messages)
        ]


class CompletionRequest(_Generation):
    """The body of /v1/completions."""

    # The order counts: read as a list of texts, a long list of ids would give an error for each id.
    prompt: Annotated[str | list[int] | list[str] | list[list[int]], Field(union_mode="left_to_right")]
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None

    def prompts(self) -> list[str] | list[list[int]]:
        """One text or one list of token ids for each prompt."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [require_text(prompt, "prompt")]
        if not prompt:
            raise ApiError(400, "prompt is empty", param="prompt")
        if isinstance(prompt[0], int):
            return [prompt]
        return [require_text(item, "prompt") if isinstance(item, str) else item for item in prompt]  # type: ignore


class ClassifyBody(_Strict):
    """The body of /v1/classify."""

    input: str | list[str]
    model: str | None = None
    return_all_scores: bool | None = None
    truncate: bool | None = None
    user: Any = None
    metadata: Any = None

    def texts(self) -> list[str]:
        """The texts. Raises the 422 for one that is no text."""
        if isinstance(self.input, str):
            return [require_text(self.input, "input", 422)]
        return [require_text(text, f"input[{at}]", 422) for at, text in enumerate(self.input)]


def require_text(text: str, where: str, status: int = 400) -> str:
    """The text. Raises the error for half of a surrogate pair: JSON can spell it, and no tokenizer takes it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ApiError(status, f"{where} is not valid Unicode text", param=where, code="invalid_value") from error
    return text


def _texts_of(message: Message, at: int) -> list[str]:
    content = message.content
    if content is None and message.role not in ("assistant", "function"):
        # Under a misspelt name the text would be lost without a word.
        where = f"messages[{at}].content"
        raise ApiError(400, f"{where} is missing", param=where, code="missing_required_parameter")
    if isinstance(content, str) or content is None:
        return [require_text(content or "", f"messages[{at}].content")]
    texts = []
    for place, part in enumerate(content):
        where = f"messages[{at}].content[{place}]"
        if part.get("type") not in ("text", "input_text") or not isinstance(part.get("text"), str):
            raise ApiError(400, f"{where}: only text content is supported", param=where, code="unsupported_content")
        texts.append(require_text(part["text"], where))
    return texts
