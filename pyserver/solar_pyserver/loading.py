"""Loads a model and its tokenizer, and tells what is really in use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .architecture import Classes, require_kind, require_label_names, require_language
from .checkpoint import require_weights, unused_notice
from .configuration import Settings
from .decisions import Hardware, attention_order, choose_context, choose_device, choose_dtype, choose_placement
from .end_tokens import end_tokens
from .errors import ExitCode, StartupError, is_out_of_memory, one_line
from .loading_progress import Progress, report_weights
from .model_files import damage
from .tokenizer_files import load_tokenizer

# The names that families of models have for their own limit.
LENGTH_FIELDS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run, and the facts about it. `context` is in tokens."""

    model: Any
    tokenizer: Any
    config: Any
    device: str
    placement: str
    dtype: str
    attention: str
    model_type: str
    context: int
    end_tokens: frozenset[int]
    # What the log should say about it; mostly nothing.
    notice: str = ""


def load(settings: Settings, progress: Progress) -> Loaded:
    """Raises `StartupError` with MISSING_MODULE, MODEL, NO_MODEL or USAGE. The weights are read once."""
    progress("import", 0.0)
    check_folder(settings.model)
    try:
        return _load(settings, progress)
    except StartupError:
        raise
    except ImportError as error:
        raise missing_module(error) from error
    except Exception as error:
        what = "it does not fit into memory" if is_out_of_memory(error) else one_line(error)
        raise StartupError(ExitCode.MODEL, f"cannot load model {settings.model}: {what}") from error


def check_folder(model: str) -> None:
    """Raises `StartupError` for a path without a whole model, before anything is imported. A hub id passes."""
    if os.path.isdir(model):
        if not os.path.isfile(os.path.join(model, "config.json")):
            raise StartupError(ExitCode.NO_MODEL, f"cannot load model {model}: the folder has no config.json")
        if problem := damage(Path(model)):
            raise StartupError(ExitCode.MODEL, f"cannot load model {model}: {problem}")
    elif os.path.isfile(model):
        raise StartupError(ExitCode.NO_MODEL, f"cannot load model {model}: it is a file, and a model is a folder")
    elif model.startswith((".", "~", os.sep)) or model.count("/") > 1:
        raise StartupError(ExitCode.NO_MODEL, f"cannot load model {model}: there is no such folder")


def _load(settings: Settings, progress: Progress) -> Loaded:
    import torch
    from transformers import AutoConfig, PretrainedConfig
    from transformers.utils import logging as transformers_logging

    from .hardware import find_hardware

    transformers_logging.set_verbosity_error()
    report_weights(transformers_logging, progress)

    progress("config", 0.1)
    trust = settings.trust_remote_code
    hardware = find_hardware()
    device = choose_device(settings.device, hardware)
    # The file itself, without the defaults of the config's class.
    config_file, _ = PretrainedConfig.get_config_dict(settings.model)
    require_label_names(config_file, settings.model)
    config = AutoConfig.from_pretrained(settings.model, trust_remote_code=trust)
    embeds = partial(_is_for_embeddings, settings.model)
    notice = require_kind(config, settings.task, settings.model, _known_classes(settings.task), embeds)
    require_language(config, settings.model)
    dtype = choose_dtype(settings.dtype, device, _checkpoint_dtype(config), hardware)

    progress("tokenizer", 0.2)
    tokenizer = load_tokenizer(settings.model, config, trust)

    progress("weights", 0.3)
    placement = choose_placement(device, _checkpoint_bytes(settings.model), hardware)
    model, report = _from_pretrained(
        settings,
        config,
        getattr(torch, dtype),
        placement,
        attention_order(settings.flash_attention, device, dtype, hardware),
        hardware,
    )
    require_weights(model, report, settings.model, settings.task)
    model.eval()

    progress("ready-check", 0.9)
    text_config = config.get_text_config()
    own = [getattr(text_config, name, None) for name in LENGTH_FIELDS]
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        config=config,
        device=device,
        placement=placement,
        dtype=str(model.dtype).removeprefix("torch."),
        attention=str(getattr(model.config, "_attn_implementation", None) or "eager"),
        model_type=str(config.model_type),
        context=choose_context(
            settings.max_length, [*own, *embedded_positions(model), getattr(tokenizer, "model_max_length", None)]
        ),
        end_tokens=end_tokens(model, tokenizer, config_file),
        notice=notice or unused_notice(report["unexpected_keys"]),
    )


def _known_classes(task: str) -> Classes:
    """The classes that transformers loads for a task, by model type."""
    from transformers.models.auto import modeling_auto

    kind = "CAUSAL_LM" if task == "causal" else "SEQUENCE_CLASSIFICATION"
    classes: Classes = getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES")
    return classes


def _is_for_embeddings(model: str) -> bool:
    """Whether the model has a file of sentence-transformers."""
    from transformers.utils import cached_file

    try:
        return cached_file(model, "modules.json") is not None
    except OSError:
        return False


def embedded_positions(model: Any) -> list[int]:
    """Tokens that fit each table of positions whose first positions stand for padding.

    RoBERTa and its kin count from padding_idx + 1, so that 514 positions are enough for 512 tokens. A table is any
    module that has a weight and a padding_idx: I-BERT's is no `nn.Embedding`.
    """
    tables = (
        (getattr(module, "weight", None), getattr(module, "padding_idx", None))
        for name, module in model.named_modules()
        if "position" in name.rsplit(".", 1)[-1]
    )
    return [
        int(weight.shape[0]) - padding - 1
        for weight, padding in tables
        if isinstance(padding, int) and weight is not None and weight.ndim == 2
    ]


def _from_pretrained(
    settings: Settings, config: Any, dtype: Any, placement: str, attentions: list[str], hardware: Hardware
) -> tuple[Any, Mapping[str, Any]]:
    """The model, and transformers' report on its weights. Tries each attention.

    transformers refuses an attention that the model lacks before it reads any weight.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    family = AutoModelForCausalLM if settings.task == "causal" else AutoModelForSequenceClassification
    # With accelerate straight onto the device, else by way of the host's memory.
    place = {"device_map": "auto" if placement == "auto" else {"": placement}} if hardware.accelerate else {}
    for last, attention in ((at == len(attentions) - 1, name) for at, name in enumerate(attentions)):
        try:
            model, report = family.from_pretrained(
                settings.model,
                config=config,
                dtype=dtype,
                attn_implementation=attention,
                trust_remote_code=settings.trust_remote_code,
                output_loading_info=True,
                # They are refused below, with both sizes, which transformers' error lacks.
                ignore_mismatched_sizes=True,
                **place,
            )
            break
        except (ImportError, ValueError) as error:
            if last or not _about_attention(error, attention):
                raise
    return model if place else model.to(placement), report


def _about_attention(error: Exception, attention: str) -> bool:
    text = str(error).lower()
    names = {
        "flash_attention_2": ("flash_attn", "flash attention", "flash_attention"),
        "sdpa": ("sdpa", "scaled_dot_product"),
    }
    return any(name in text for name in names.get(attention, ()))


def missing_module(error: ImportError) -> StartupError:
    """The error that names the module and the command that installs it. transformers names it in a text only."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name is None and (match := re.search(r"requires the (\w+) library", str(error))):
        name = match[1]
    if name is None:
        return StartupError(ExitCode.MISSING_MODULE, f"a Python module is missing or broken: {one_line(error)}")
    name = name.split(".")[0]
    return StartupError(
        ExitCode.MISSING_MODULE,
        f"Python module {name} missing from {sys.executable}; install with: {sys.executable} -m pip install {name}",
    )


def _checkpoint_dtype(config: Any) -> str | None:
    """The dtype that the config says. transformers 4.57 calls it torch_dtype as well."""
    value = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    return None if value is None else str(value).removeprefix("torch.")


def _checkpoint_bytes(model: str) -> int | None:
    """The bytes of the weights in a local folder. None for a hub id."""
    if not os.path.isdir(model):
        return None
    files = [path for kind in ("*.safetensors", "*.bin") for path in Path(model).glob(kind)]
    return sum(path.stat().st_size for path in files) or None
