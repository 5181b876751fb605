"""Classification in batches. What waits when the model is free forms the next batch; there is no timer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .errors import ApiError, is_device_lost
from .events import Budget
from .packing import first_served, pack
from .worker import ServerHooks, Worker, free_unused_memory

Encoding = dict[str, list[int]]
REPORTED_PER_SECOND = 20


@dataclass(eq=False)
class ClassifyRequest:
    """One HTTP request. Once `deliver` was called with None, `scores` is texts x classes."""

    texts: Sequence[Encoding]
    deliver: Callable[[ApiError | None], None]
    cancelled: bool = False
    scores: list[list[float]] = field(default_factory=list)
    missing: int = 0
    task: int = 0
    slot: int = -1

    @property
    def tokens(self) -> int:
        """The tokens of all texts, without padding."""
        return sum(len(text["input_ids"]) for text in self.texts)


@dataclass(frozen=True, eq=False)
class _Text:
    request: ClassifyRequest
    index: int
    encoding: Encoding

    @property
    def length(self) -> int:
        return len(self.encoding["input_ids"])


class ClassificationWorker(Worker[ClassifyRequest]):
    """Requests wait; the texts of those that were begun are packed into batches.

    `score` gives texts x classes. `max_rows` texts, and `max_cells` tokens as rows x longest, share a pass.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Encoding]], list[list[float]]],
        max_rows: int,
        max_cells: int,
        max_queue: int,
        hooks: ServerHooks,
    ) -> None:
        super().__init__(max_queue, hooks)
        self._score = score
        self._max_rows = max_rows
        self._max_cells = max_cells
        self._reports = Budget(REPORTED_PER_SECOND)
        self._texts: list[_Text] = []
        # Requests that were begun and are not over.
        self._open: dict[ClassifyRequest, None] = {}

    def submit(self, request: ClassifyRequest) -> None:
        """Raises the 429 where too many requests wait. Safe from any thread."""
        request.missing = len(request.texts)
        request.scores = [[] for _ in request.texts]
        self._enqueue([request])

    def cancel(self, request: ClassifyRequest) -> None:
        """Safe from any thread, and at any time."""
        self._withdraw(request, lambda waiting: waiting is request)

    def _active(self) -> int:
        return len(self._texts)

    def _step_failed(self, error: Exception) -> None:
        for request in list(self._open):
            self._fail_request(request, error)
        self._texts = []

    def _cancel_all(self) -> None:
        for request in list(self._open):
            self._end(request, "cancelled")

    def _step(self) -> None:
        with self._wake:
            arrived = self._admit()
        self._open.update(dict.fromkeys(arrived))
        for request in arrived:
            self._begin(request)
        self._batch()

    def _admit(self) -> list[ClassifyRequest]:
        """Takes requests for eight batches at most: the rest still counts as waiting."""
        taken = []
        room = 8 * self._max_rows - len(self._texts)
        while self._waiting and room > 0:
            taken.append(self._waiting.popleft())
            room -= len(taken[-1].texts)
        self._metrics.waiting = len(self._waiting)
        return taken

    def _begin(self, request: ClassifyRequest) -> None:
        request.task = next(self._tasks)
        tokens = request.tokens
        self._metrics.prompt_tokens += tokens
        self._texts.extend(_Text(request, at, text) for at, text in enumerate(request.texts))
        if self._reports.take():
            request.slot = self._report_start(request.task, "classify", tokens)

    def _batch(self) -> None:
        for request in {item.request: None for item in self._texts if item.request.cancelled}:
            self._end(request, "cancelled")
        self._texts = [item for item in self._texts if not item.request.cancelled]
        if self._texts:
            groups = pack([item.length for item in self._texts], self._max_cells, self._max_rows)
            places = first_served(groups)
            batch = [self._texts[at] for at in places]
            chosen = set(places)
            self._texts = [item for at, item in enumerate(self._texts) if at not in chosen]
            self._classify(batch)

    def _classify(self, batch: Sequence[_Text]) -> None:
        """Scores a batch. One that fails is scored text by text, so that only the requests at fault fail."""
        self._metrics.batches += 1
        try:
            scores = self._score([item.encoding for item in batch])
        except Exception as error:
            free_unused_memory()
            if len(batch) > 1 and not is_device_lost(error):
                for item in batch:
                    self._classify([item])
                return
            for request in {item.request: None for item in batch if not item.request.cancelled}:
                self._fail_request(request, error)
            for request in {item.request: None for item in batch if item.request.cancelled}:
                self._end(request, "cancelled")
            self._texts = [item for item in self._texts if not item.request.cancelled]
            return
        for item, values in zip(batch, scores, strict=True):
            request = item.request
            request.scores[item.index] = values
            request.missing -= 1
            if request.missing == 0:
                # A request whose client has left meanwhile is over too.
                self._end(request, "cancelled" if request.cancelled else "stop")
                if not request.cancelled:
                    self._tell(request, None)

    def _fail_request(self, request: ClassifyRequest, error: Exception) -> None:
        self._fail(request, request.task, error)
        self._end(request, "error")

    def _end(self, request: ClassifyRequest, reason: str) -> None:
        self._open.pop(request, None)
        if request.slot >= 0:
            self._report_end(request.task, request.slot, request.tokens, reason)
            request.slot = -1
