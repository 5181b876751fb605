"""/v1/chat/completions and /v1/completions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..errors import ApiError, context_exceeded
from ..generation import Finished, GenerationRequest, Piece, Update
from ..generation_worker import GenerationWorker
from ..parsing import parse_body
from ..responses import NO_LOGPROBS, GenerationResponse, usage
from ..sampling import SamplingParams, TokenLogprob
from ..schemas import MAX_ROWS, UNLIMITED, ChatRequest, CompletionRequest
from ..tokenizing import TextTokenizer, require_embedded
from .asgi import (
    INLINE_BYTES,
    Receive,
    Scope,
    Send,
    off_loop,
    read_body,
    send_bytes,
    send_error_event,
    send_part,
    start_stream,
    while_connected,
)

COMPLETION_TOKENS = 16


@dataclass
class _Choice:
    text: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    reason: str = ""


class GenerationRoutes:
    """The handlers for generation. `context` and `vocabulary` are in tokens."""

    def __init__(
        self,
        worker: GenerationWorker,
        tokenizer: TextTokenizer,
        alias: str,
        context: int,
        vocabulary: int,
        defaults: SamplingParams = SamplingParams(),  # noqa: B008 (it is frozen)
    ) -> None:
        self._worker = worker
        self._tokenizer = tokenizer
        self._alias = alias
        self._context = context
        self._vocabulary = vocabulary
        self._defaults = defaults

    async def chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers /v1/chat/completions."""
        raw = await read_body(scope, receive)
        request, body = await off_loop(len(raw) > INLINE_BYTES, lambda: self._read_chat(raw))
        await self._run(request, body, GenerationResponse(True, self._alias, self._tokenizer), receive, send)

    async def complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers /v1/completions."""
        raw = await read_body(scope, receive)
        request, body = await off_loop(len(raw) > INLINE_BYTES, lambda: self._read_completion(raw))
        await self._run(request, body, GenerationResponse(False, self._alias, self._tokenizer), receive, send)

    def _read_chat(self, raw: bytes) -> tuple[GenerationRequest, ChatRequest]:
        body = parse_body(ChatRequest, raw)
        ids = self._tokenizer.encode_chat(body.template_messages(), body.chat_template_kwargs or {})
        top = body.top_logprobs or 0
        if top and not body.logprobs:
            raise ApiError(400, "top_logprobs needs logprobs to be true", param="top_logprobs")
        request = self._request(
            body,
            prompts=[ids],
            limit=body.max_completion_tokens or body.max_tokens or UNLIMITED,
            where="messages",
            logprobs=top if body.logprobs else None,
        )
        return request, body

    def _read_completion(self, raw: bytes) -> tuple[GenerationRequest, CompletionRequest]:
        body = parse_body(CompletionRequest, raw)
        prompts = [self._tokenizer.encode(item) if isinstance(item, str) else item for item in body.prompts()]
        request = self._request(
            body,
            prompts=prompts,
            limit=body.max_completion_tokens or body.max_tokens or COMPLETION_TOKENS,
            where="prompt",
            logprobs=body.logprobs,
        )
        return request, body

    def _request(
        self,
        body: ChatRequest | CompletionRequest,
        prompts: list[list[int]],
        limit: int,
        where: str,
        logprobs: int | None,
    ) -> GenerationRequest:
        for ids in prompts:
            if not ids:
                raise ApiError(400, f"{where} has no tokens", param=where)
            if len(ids) >= self._context:
                raise context_exceeded(len(ids), self._context, where)
            require_embedded(ids, self._vocabulary, where, self._tokenizer.raw)
        if len(prompts) * (body.n or 1) > MAX_ROWS:
            raise ApiError(400, f"prompts x n is {len(prompts) * (body.n or 1)}; {MAX_ROWS} at most", param="n")
        rooms = [self._context - len(ids) for ids in prompts]
        return GenerationRequest(
            prompts=prompts,
            sampling=body.sampling(self._defaults),
            max_new_tokens=[room if limit == UNLIMITED else min(limit, room) for room in rooms],
            deliver=lambda update: None,
            kind="chat" if isinstance(body, ChatRequest) else "completion",
            stop=body.stops(),
            n=body.n or 1,
            logprobs=logprobs,
            stream=bool(body.stream),
            ignore_eos=bool(body.ignore_eos),
            continues_prompt=isinstance(body, CompletionRequest),
        )

    async def _run(
        self,
        request: GenerationRequest,
        body: ChatRequest | CompletionRequest,
        response: GenerationResponse,
        receive: Receive,
        send: Send,
    ) -> None:
        updates: asyncio.Queue[Update] = asyncio.Queue()
        request.deliver = updates.put_nowait
        self._worker.submit(request)
        try:
            if request.stream:
                work = self._stream(request, updates, response, body.wants_usage(), send)
                await while_connected(receive, work)
            else:
                data = await while_connected(receive, self._collect(request, updates, response))
                await send_bytes(send, 200, data, "application/json")
        finally:
            # The request is over: rows that still run have no client.
            self._worker.cancel(request)

    async def _collect(
        self, request: GenerationRequest, updates: asyncio.Queue[Update], response: GenerationResponse
    ) -> bytes:
        choices = [_Choice() for _ in range(len(request.prompts) * request.n)]
        left, generated = len(choices), 0
        while left:
            update = await updates.get()
            if isinstance(update, ApiError):
                raise update
            choice = choices[update.index]
            if isinstance(update, Piece):
                choice.text.append(update.text)
                choice.logprobs.extend(update.logprobs)
            else:
                choice.reason = update.reason
                generated += update.generated
                left -= 1
        asked = request.logprobs is not None

        def build() -> bytes:
            ready = (
                response.choice(
                    at,
                    "".join(choice.text),
                    choice.reason,
                    response.logprobs(at, choice.logprobs) if asked else NO_LOGPROBS,
                )
                for at, choice in enumerate(choices)
            )
            return response.full(ready, usage(_prompt_tokens(request), generated))

        return await off_loop(asked, build)

    async def _stream(
        self,
        request: GenerationRequest,
        updates: asyncio.Queue[Update],
        response: GenerationResponse,
        with_usage: bool,
        send: Send,
    ) -> None:
        count = len(request.prompts) * request.n
        # The status waits for the first update: a prompt that fails gets an error status, not a broken stream.
        news = await _news(updates)
        if isinstance(news[0], ApiError):
            raise news[0]
        await start_stream(send)
        if response.chat:
            await send_part(send, b"".join(response.opening(at) for at in range(count)))
        left, generated = count, 0
        asked = request.logprobs is not None
        while True:
            told = [update for update in news if not isinstance(update, ApiError)]
            await send_part(send, await off_loop(asked, partial(_chunks, response, told, asked)))
            if failed := next((update for update in news if isinstance(update, ApiError)), None):
                await send_error_event(send, failed)
                return
            ends = [update for update in told if isinstance(update, Finished)]
            generated += sum(end.generated for end in ends)
            left -= len(ends)
            if not left:
                break
            news = await _news(updates)
        tail = response.usage_chunk(usage(_prompt_tokens(request), generated)) if with_usage else b""
        await send_part(send, tail + b"data: [DONE]\n\n", last=True)


async def _news(updates: asyncio.Queue[Update]) -> list[Update]:
    """All updates that are there. Waits for the first."""
    news = [await updates.get()]
    while not updates.empty():
        news.append(updates.get_nowait())
    return news


def _chunks(response: GenerationResponse, told: Sequence[Piece | Finished], with_logprobs: bool) -> bytes:
    return b"".join(
        response.ending(update.index, update.reason)
        if isinstance(update, Finished)
        else response.piece(
            update.index,
            update.text,
            response.logprobs(update.index, update.logprobs) if with_logprobs else NO_LOGPROBS,
        )
        for update in told
    )


def _prompt_tokens(request: GenerationRequest) -> int:
    return sum(len(prompt) for prompt in request.prompts)
