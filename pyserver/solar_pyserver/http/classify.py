"""/v1/classify."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from ..classification_worker import ClassificationWorker, ClassifyRequest, Encoding
from ..errors import ApiError, context_exceeded
from ..parsing import parse_body
from ..responses import classification_response
from ..schemas import MAX_TEXTS, ClassifyBody
from ..tokenizing import ClassifierTokenizer
from .asgi import INLINE_BYTES, Receive, Scope, Send, off_loop, read_body, send_bytes, while_connected

# Answers with up to so many scores are written on the event loop; for longer ones it must not wait.
INLINE_SCORES = 1000


class ClassifyRoutes:
    """The handler for classification. `context` is in tokens; `labels` are in the order of the classes."""

    def __init__(
        self,
        worker: ClassificationWorker,
        tokenizer: ClassifierTokenizer,
        alias: str,
        labels: Sequence[str],
        context: int,
    ) -> None:
        self._worker = worker
        self._tokenizer = tokenizer
        self._alias = alias
        self._labels = labels
        self._context = context
        self._lock = threading.Lock()

    async def classify(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers /v1/classify."""
        raw = await read_body(scope, receive)
        # While another thread encodes, this would wait for the lock.
        long = len(raw) > INLINE_BYTES or self._lock.locked()
        encodings, all_scores = await off_loop(long, lambda: self._read(raw))
        scores, tokens = await while_connected(receive, self._score(encodings))
        long = len(scores) * (len(self._labels) if all_scores else 1) > INLINE_SCORES
        data = await off_loop(
            long, lambda: classification_response(self._alias, self._labels, scores, tokens, all_scores)
        )
        await send_bytes(send, 200, data, "application/json")

    def _read(self, raw: bytes) -> tuple[list[Encoding], bool]:
        """The texts' encodings, and whether the scores of all classes are asked for. Raises the 422 and the 400."""
        body = parse_body(ClassifyBody, raw, invalid=422)
        texts = body.texts()
        if not texts:
            raise ApiError(422, "input is empty", param="input", code="invalid_value")
        if len(texts) > MAX_TEXTS:
            raise ApiError(422, f"input has {len(texts)} texts; {MAX_TEXTS} at most", param="input")
        with self._lock:
            encodings = self._tokenizer.encode(texts, bool(body.truncate))
        for at, encoding in enumerate(encodings):
            if not encoding["input_ids"]:
                where = f"input[{at}]"
                raise ApiError(422, f"{where} has no tokens", param=where, code="invalid_value")
            if len(encoding["input_ids"]) > self._context:
                raise context_exceeded(len(encoding["input_ids"]), self._context, f"input[{at}]")
        return encodings, bool(body.return_all_scores)

    async def _score(self, encodings: Sequence[Encoding]) -> tuple[list[list[float]], int]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def deliver(error: ApiError | None) -> None:
            if not done.done():
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

        request = ClassifyRequest(encodings, deliver)
        self._worker.submit(request)
        try:
            await done
        except asyncio.CancelledError:
            self._worker.cancel(request)
            raise
        return request.scores, request.tokens
