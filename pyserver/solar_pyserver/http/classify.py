"""/v1/classify."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from ..answers import classification
from ..classification import ClassificationEngine, ClassifyRequest, Encoding
from ..errors import ApiError, context_exceeded
from ..parsing import parse_body
from ..schemas import MAX_TEXTS, ClassifyBody
from ..tokenizing import ClassifierTokenizer
from .wire import Receive, Scope, Send, read_body, send_json, while_connected

INLINE_CHARACTERS = 20_000


class ClassifyRoutes:
    def __init__(
        self,
        engine: ClassificationEngine,
        tokenizer: ClassifierTokenizer,
        alias: str,
        labels: Sequence[str],
        context: int,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._alias = alias
        self._labels = labels
        self._context = context
        self._lock = threading.Lock()

    async def classify(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = parse_body(ClassifyBody, await read_body(receive), invalid=422)
        texts = body.texts()
        if not texts:
            raise ApiError(422, "input is empty", param="input", code="invalid_value")
        if len(texts) > MAX_TEXTS:
            raise ApiError(422, f"input has {len(texts)} texts; {MAX_TEXTS} at most", param="input")
        truncate = bool(body.truncate)
        if sum(map(len, texts)) <= INLINE_CHARACTERS and not self._lock.locked():
            encodings = self._encode(texts, truncate)
        else:
            encodings = await asyncio.get_running_loop().run_in_executor(None, self._encode, texts, truncate)
        for at, encoding in enumerate(encodings):
            if len(encoding["input_ids"]) > self._context:
                raise context_exceeded(len(encoding["input_ids"]), self._context, f"input[{at}]")
        scores, tokens = await while_connected(receive, self._score(encodings))
        answer = classification(self._alias, self._labels, scores, tokens, bool(body.return_all_scores))
        await send_json(send, 200, answer)

    def _encode(self, texts: Sequence[str], truncate: bool) -> list[Encoding]:
        with self._lock:
            return self._tokenizer.encode(texts, truncate)

    async def _score(self, encodings: Sequence[Encoding]) -> tuple[list[list[float]], int]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def deliver(error: Exception | None) -> None:
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        request = ClassifyRequest(encodings, deliver)
        self._engine.submit(request)
        try:
            await done
        except asyncio.CancelledError:
            self._engine.cancel(request)
            raise
        return request.scores, request.tokens
