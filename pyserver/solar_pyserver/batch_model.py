"""Forward passes over the K/V pool, and the check at the start that the model allows them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import one_line
from .kv_pool import KvPool, plain_shapes

# Largest difference from the plain forward pass that counts as rounding, relative to the largest logit.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HALF_TOLERANCE = 0.05

# What a forward calls its cache: transformers 5.24 renamed it, and code that a checkpoint brings may have either name.
CACHE_NAMES = ("cache", "past_key_values")


class BatchModel:
    """A causal model whose K/V lie in a pool. The row numbers are the pool's."""

    def __init__(self, model: Any, pool: KvPool, mask: str, cache_name: str) -> None:
        self._model = model
        self.pool = pool
        self._mask = mask
        self._device = model.get_input_embeddings().weight.device
        self._extra: dict[str, Any] = {cache_name: pool.cache, "use_cache": True}
        if _accepts(model, "logits_to_keep"):
            self._extra["logits_to_keep"] = 1

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Tensor:
        """Adds `tokens` to a row that holds `start` tokens. Returns the logits after the last: vocabulary, float32."""
        end = start + len(tokens)
        self.pool.aim_prefill(row, start, end)
        positions = torch.arange(start, end, device=self._device)[None]
        return self._forward(torch.tensor([list(tokens)], device=self._device), positions, None)[0]

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """Adds one token to each row; row i holds `lengths[i]` tokens before. Returns rows x vocabulary, float32."""
        longest = max(lengths)
        positions = torch.tensor(lengths, device=self._device)
        mask = None
        if min(lengths) == longest:
            self.pool.aim_decode_even(len(lengths), longest)
        else:
            self.pool.aim_decode(positions, longest)
            mask = torch.arange(longest + 1, device=self._device) <= positions[:, None]
            if self._mask == "4d":
                mask = mask[:, None, None, :]
        return self._forward(torch.tensor(tokens, device=self._device)[:, None], positions[:, None], mask)

    def _forward(self, ids: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        output = self._model(input_ids=ids, position_ids=positions, attention_mask=mask, **self._extra)
        logits: Tensor = output.logits[:, -1]
        return logits.float()


def prepare_batching(model: Any, max_rows: int, context: int) -> tuple[BatchModel | None, str]:
    """The model in a pool, or None and the reason why its rows must be run one at a time.

    Two things are tried. The cache that a forward pass leaves must be of plain layers. A small batch of unequal rows
    must give the logits that the plain forward pass gives. `max_rows` may be decoded together, of `context` tokens
    at most.
    """
    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        try:
            output = model(input_ids=torch.tensor([[1, 2]], device=device), use_cache=True)
        except Exception as error:
            return None, f"a forward pass with a cache failed: {one_line(error)}"
        cache = cache_of(output)
        shapes = plain_shapes(cache)
        if shapes is None:
            kinds = sorted({type(layer).__name__ for layer in getattr(cache, "layers", [])})
            return None, f"its cache is not of plain layers ({type(cache).__name__}: {', '.join(kinds) or 'no layers'})"
        cache_name = cache_argument(model)
        if cache_name is None:
            return None, f"it takes no cache: neither {' nor '.join(CACHE_NAMES)}"
        if not _accepts(model, "position_ids"):
            return None, "it takes no position_ids"
        if rotates_by_longest(model, context):
            return None, "its rotary positions depend on the longest row"
        if window := short_window(model.config.get_text_config(), context):
            return None, f"its tokens see no more than {window} others, counted from the end of the longest row"
        reason = ""
        for mask in mask_kinds(str(getattr(model.config, "_attn_implementation", "eager"))):
            pool = KvPool(shapes, max_rows)
            batch = BatchModel(model, pool, mask, cache_name)
            try:
                error_size, allowed = _difference(model, batch, device)
            except Exception as error:
                reason = f"a batch failed: {one_line(error)}"
                continue
            finally:
                pool.release()
            if error_size <= allowed:
                return batch, ""
            reason = f"a batch gives other logits (by {error_size:.2g})"
        return None, reason


def cache_argument(model: Any) -> str | None:
    """The name by which the model's forward takes its cache; the newer one where it takes both."""
    return next((name for name in CACHE_NAMES if _accepts(model, name)), None)


def cache_of(output: Any) -> Any:
    """The cache that a forward pass left, under either name. Asking for the older name warns, so it comes last."""
    found = (getattr(output, name, None) for name in CACHE_NAMES)
    return next((cache for cache in found if cache is not None), None)


def try_pass(batch: BatchModel, rows: int = 8, length: int = 32) -> Callable[[], object]:
    """A decoding step over `rows` rows of `length` tokens, to be timed. The caller releases the pool afterwards."""
    batch.pool.reserve(rows, length + 1, budget=rows * (length + 1))

    def run() -> object:
        with torch.inference_mode():
            return batch.decode([1] * rows, [length - at % 2 for at in range(rows)])

    return run


def mask_kinds(attention: str) -> list[str]:
    """Forms of the mask that hides cells, best first. sdpa takes a ready 4d mask; flash attention wants 2d."""
    return ["4d", "2d"] if attention == "sdpa" else ["2d"]


def _difference(model: Any, batch: BatchModel, device: torch.device) -> tuple[float, float]:
    """The largest difference of logits between a batch of two rows and plain passes, and the largest allowed."""
    size = model.get_input_embeddings().weight.shape[0]
    rows = [[(7 * at + 3) % size for at in range(length)] for length in (3, 9)]
    plain = [model(input_ids=torch.tensor([row], device=device)).logits[0, -1].float() for row in rows]
    batch.pool.reserve(2, 16, budget=2 * 16)
    for at, row in enumerate(rows):
        batch.prefill(at, row[:2], 0)
        if len(row) > 3:
            batch.prefill(at, row[2:-1], 2)
    logits = batch.decode([row[-1] for row in rows], [len(row) - 1 for row in rows])
    expected = torch.stack(plain).to(logits.device)
    scale = float(expected.abs().max())
    return float((logits - expected).abs().max()), scale * TOLERANCE.get(model.dtype, HALF_TOLERANCE)


def short_window(config: Any, context: int) -> int | None:
    """The smallest window of a model's attention, in tokens, that is below its context. None for none.

    Behind a plain cache, the model cuts the window out of the mask by itself, and counts it from the end of the mask
    (GPT-Neo, Doge). A trial of rows that are longer than the window would take minutes.
    """
    said = vars(config)
    full = said.get("use_sliding_window") is False or set(said.get("layer_types") or ()) == {"full_attention"}
    windows = [
        value
        for name, value in said.items()
        if (name.endswith("window_size") or (name == "sliding_window" and not full))
        and isinstance(value, int)
        and 0 < value < context
    ]
    return min(windows, default=None)


def rotates_by_longest(model: Any, context: int) -> bool:
    """Whether a row's rotary positions change beside a row of `context` tokens, as with longrope and dynamic NTK.

    Only the rotary modules are run: a pass as long as the model was trained for would take minutes.
    """
    return any(
        _turns(module, kind, context)
        for module in model.modules()
        if _is_rotary(module)
        for kind in (module.rope_type if isinstance(getattr(module, "rope_type", None), dict) else (None,))
    )


def _is_rotary(module: Any) -> bool:
    names = [name for name, _ in module.named_buffers(recurse=False)]
    return any("inv_freq" in name for name in names) and _accepts(module, "position_ids")


def _turns(rotary: Any, layer_type: str | None, context: int) -> bool:
    buffer = next(iter(rotary.buffers(recurse=False)))
    states = torch.zeros(1, device=buffer.device)
    which = {} if layer_type is None else {"layer_type": layer_type}

    def angles(positions: list[int]) -> Tensor:
        ids = torch.tensor([positions], device=buffer.device)
        turned = rotary(states, position_ids=ids, **which)
        parts = (turned,) if isinstance(turned, Tensor) else turned
        return torch.stack([part[:, :3].clone() for part in parts])

    try:
        alone = angles([0, 1, 2])
        beside = angles([0, 1, 2, max(3, context - 1)])
        # The last call leaves the module as it was.
        again = angles([0, 1, 2])
        return not torch.equal(alone, beside) or not torch.equal(alone, again)
    except Exception:
        # A module that takes its positions in another form is judged by its rope_type.
        said = str(getattr(rotary, "rope_type", ""))
        return "dynamic" in said or "longrope" in said


def _accepts(model: Any, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters
