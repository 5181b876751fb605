"""How many tokens the K/V cache may hold, by the memory that is free."""

from __future__ import annotations

from .configuration import Settings
from .hardware import free_bytes
from .loading import Loaded

# The KV cache's share of the memory that is free after loading. The rest is for the forward passes.
ACCELERATOR_SHARE = 0.6
HOST_SHARE = 0.25


def choose_kv_budget(
    asked: int | None,
    context: int,
    max_rows: int,
    free_bytes: int | None,
    bytes_per_token: int,
    device: str,
    held: int = 0,
) -> int:
    """Tokens that the KV cache may hold, counted as rows x longest. Never less than one row of the whole context.

    `free_bytes` is what is free now, beside the `held` tokens that the cache has memory for already: other processes
    take of the same memory, so this is asked again whenever the cache is to grow.
    """
    most = context * max_rows
    if asked is not None:
        return max(context, min(asked, most))
    if free_bytes is None:
        return most
    share = HOST_SHARE if device == "cpu" else ACCELERATOR_SHARE
    each = max(1, bytes_per_token)
    return max(context, min(most, int((free_bytes + held * each) * share) // each))


def kv_budget(settings: Settings, loaded: Loaded, bytes_per_token: int, held: int) -> int:
    """Tokens that the KV cache may hold, where it has memory for `held` tokens already.

    Asked again whenever the cache is to grow, for the memory is not this process's alone.
    """
    return choose_kv_budget(
        settings.kv_budget_tokens,
        loaded.context,
        settings.max_batch,
        free_bytes(loaded.placement),
        bytes_per_token,
        loaded.device,
        held,
    )
