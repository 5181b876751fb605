"""Builds the service of a loaded model: its worker, its routes and the facts that /health tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import transformers

from .batch_model import prepare_batching, rotates_by_longest, try_pass
from .batched_worker import BatchedWorker
from .batching_check import IN_BATCHES, check_batching
from .classification_worker import ClassificationWorker
from .configuration import Settings
from .decisions import choose_activation, choose_labels
from .events import EventLog
from .generation_defaults import sampling_defaults, told_defaults, told_in_vain
from .generation_worker import GenerationWorker
from .http.app import Handler
from .http.classify import ClassifyRoutes
from .http.generate import GenerationRoutes
from .kv_budget import kv_budget
from .loading import Loaded
from .scoring import Scorer
from .side_by_side import SideBySide
from .threads import tune_threads
from .tokenizing import ClassifierTokenizer, TextTokenizer, embedded_tokens, require_known_tokens
from .versions import untried, versions
from .worker import ServerHooks

MAX_CLASSIFY_ROWS = 64
MAX_CLASSIFY_CELLS = 16384


@dataclass
class Service:
    """What serves a model: its worker, a handler for each path, and the facts for /health."""

    worker: GenerationWorker | ClassificationWorker
    handlers: dict[str, Handler]
    facts: dict[str, object]


def build_causal(settings: Settings, loaded: Loaded, hooks: ServerHooks) -> Service:
    """Raises `StartupError` for a tokenizer that does not fit the model, and the model's own error if it fails."""
    model = loaded.model
    tokenizer = TextTokenizer(loaded.tokenizer, loaded.end_tokens)
    # Read before the sequential worker replaces it.
    generation_config = getattr(model, "generation_config", None)
    wishes = told_defaults(generation_config)
    if in_vain := told_in_vain(generation_config):
        hooks.events.notice(in_vain)
    prove(model)
    batch, reason = prepare_batching(model, settings.max_batch, loaded.context)
    batching = "in flight" if batch is not None else f"one at a time: {reason}"
    tell_batching(batching, hooks.events)
    budget_tokens = None
    worker: GenerationWorker
    if batch is not None:
        if loaded.device == "cpu":
            tune_threads(try_pass(batch, rows=min(8, settings.max_batch)))
            batch.pool.release()
        budget = partial(kv_budget, settings, loaded, batch.pool.bytes_per_token)
        budget_tokens = budget(0)
        worker = BatchedWorker(
            batch, settings.max_batch, budget, settings.prefill_chunk, tokenizer, settings.max_queue, hooks
        )
    else:
        from .sequential_worker import SequentialWorker

        worker = SequentialWorker(model, tokenizer, settings.max_queue, hooks)
    vocabulary = embedded_tokens(model) or 2**31
    require_known_tokens(loaded.tokenizer, vocabulary, settings.model)
    defaults = sampling_defaults(wishes, vocabulary)
    routes = GenerationRoutes(worker, tokenizer, settings.alias, loaded.context, vocabulary, defaults)
    facts = {
        **common_facts(settings, loaded),
        "batching": batching,
        "kv_budget_tokens": budget_tokens,
        "sampling_defaults": {name: value for name, value in wishes.items() if name == "repetition_penalty"},
        "chat_template": tokenizer.has_chat_template,
    }
    return Service(worker, {"/v1/chat/completions": routes.chat, "/v1/completions": routes.complete}, facts)


def prove(model: Any) -> None:
    """Runs one pass, to see that the model answers. If it fails, each request would fail too."""
    with torch.inference_mode():
        model(input_ids=torch.tensor([[1, 2, 3]], device=model.get_input_embeddings().weight.device))


def build_classification(settings: Settings, loaded: Loaded, hooks: ServerHooks) -> Service:
    """Raises `StartupError` for labels or a tokenizer that do not fit, and the model's own error if it fails."""
    labels = class_labels(settings, loaded.config)
    activation = choose_activation(getattr(loaded.config, "problem_type", None), len(labels))
    tokenizer = loaded.tokenizer
    require_known_tokens(tokenizer, embedded_tokens(loaded.model), settings.model)
    scorer = Scorer(loaded.model, tokenizer, activation)
    # Rotary positions may depend on texts that are too long for a trial.
    batching = (
        "one at a time: its rotary positions depend on the longest text"
        if rotates_by_longest(loaded.model, loaded.context)
        else check_batching(scorer, tokenizer, loaded.context)
    )
    tell_batching(batching, hooks.events)
    max_rows = MAX_CLASSIFY_ROWS if batching == IN_BATCHES else 1
    threads = warm_up(loaded, scorer, max_rows)
    worker = ClassificationWorker(
        scorer if threads == 1 else SideBySide(scorer, threads),
        max_rows=max_rows,
        max_cells=MAX_CLASSIFY_CELLS,
        max_queue=settings.max_queue,
        hooks=hooks,
    )
    encoder = ClassifierTokenizer(tokenizer, loaded.context, embedded_tokens(loaded.model))
    routes = ClassifyRoutes(worker, encoder, settings.alias, labels, loaded.context)
    facts = {**common_facts(settings, loaded), "batching": batching, "labels": list(labels)}
    return Service(worker, {"/v1/classify": routes.classify}, facts)


def tell_batching(batching: str, events: EventLog) -> None:
    """Without batching the log says why, as /health does."""
    if batching.startswith("one at a time"):
        events.notice(f"requests are not batched but run {batching}")


def class_labels(settings: Settings, config: Any) -> tuple[str, ...]:
    """The labels in the order of their ids, which some models count from 1."""
    own = [str(label) for _, label in sorted(config.id2label.items())]
    return choose_labels(settings.labels, own)


def warm_up(loaded: Loaded, scorer: Scorer, rows: int) -> int:
    """Runs a pass, to see that the model answers. On a CPU it also finds the number of threads for a pass.

    Gives the number of passes that may run at once: all threads where one is enough for a pass, else one.
    """
    batch = loaded.tokenizer(["are you ready to answer now"] * min(8, rows))
    encodings = [{name: values[at] for name, values in batch.items()} for at in range(len(batch["input_ids"]))]

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return torch.tensor(scorer(encodings))

    run()
    if loaded.device != "cpu":
        return 1
    most = torch.get_num_threads()
    return most if tune_threads(run) == 1 else 1


def common_facts(settings: Settings, loaded: Loaded) -> dict[str, object]:
    """The facts for /health that do not depend on the task."""
    return {
        "model": settings.alias,
        "model_id": settings.model,
        "model_type": settings.task,
        "architecture": loaded.model_type,
        "device": loaded.device,
        "dtype": loaded.dtype,
        "attention": loaded.attention,
        "context": loaded.context,
        **versions(torch.__version__, transformers.__version__),
    }


def untried_release() -> str | None:
    """The notice for a release of transformers that was not tried."""
    return untried(transformers.__version__)
