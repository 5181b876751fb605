"""Gets a model and its tokenizer into memory, once, and says what is really in use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .architecture import Classes, require_kind, require_language
from .checkpoint import require_weights
from .configuration import Settings
from .decisions import Hardware, attention_order, choose_context, choose_device, choose_dtype, choose_placement
from .end_tokens import end_tokens
from .errors import ExitCode, StartupError, is_out_of_memory, one_line
from .tokenizer_files import load_tokenizer

Progress = Callable[[str, float], None]

# transformers names a model's own limit differently from family to family.
LENGTH_FIELDS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to run, and the facts about it."""

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
    # What the log should say of it; mostly nothing.
    notice: str = ""


def load(settings: Settings, progress: Progress) -> Loaded:
    """Raises `StartupError` with MISSING_MODULE, MODEL, NO_MODEL or USAGE; never loads the weights twice."""
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
    """A path that holds no model, said before anything is imported. An id of the hub is left to transformers."""
    if os.path.isdir(model):
        if not os.path.isfile(os.path.join(model, "config.json")):
            raise StartupError(ExitCode.NO_MODEL, f"cannot load model {model}: the folder has no config.json")
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
    _report_weights(transformers_logging, progress)

    progress("config", 0.1)
    trust = settings.trust_remote_code
    hardware = find_hardware()
    device = choose_device(settings.device, hardware)
    config = AutoConfig.from_pretrained(settings.model, trust_remote_code=trust)
    # What the file itself says, without the defaults of the config's class.
    config_file, _ = PretrainedConfig.get_config_dict(settings.model)
    notice = require_kind(
        config, settings.task, settings.model, _known_classes(settings.task), _is_for_embeddings(settings.model)
    )
    require_language(config, settings.model)
    dtype = choose_dtype(settings.dtype, device, _checkpoint_dtype(config), hardware)

    progress("tokenizer", 0.2)
    tokenizer = load_tokenizer(settings.model, config, trust)

    progress("weights", 0.3)
    placement = choose_placement(device, _checkpoint_bytes(settings.model), hardware)
    model = _from_pretrained(
        settings,
        config,
        getattr(torch, dtype),
        placement,
        attention_order(settings.flash_attention, device, dtype, hardware),
        hardware,
    )
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
        notice=notice,
    )


def _known_classes(task: str) -> Classes:
    """The classes that transformers loads for a task by itself, by the type of the model."""
    from transformers.models.auto import modeling_auto

    kind = "CAUSAL_LM" if task == "causal" else "SEQUENCE_CLASSIFICATION"
    classes: Classes = getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES")
    return classes


def _is_for_embeddings(model: str) -> bool:
    """Whether sentence-transformers has written it."""
    from transformers.utils import cached_file

    try:
        return cached_file(model, "modules.json") is not None
    except OSError:
        return False


def embedded_positions(model: Any) -> list[int]:
    """Tokens for which tables of positions have room, where the first positions of a table stand for padding.

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
) -> Any:
    """Tries each attention; one that the model lacks is refused before any weight is read."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    family = AutoModelForCausalLM if settings.task == "causal" else AutoModelForSequenceClassification
    # Straight onto the device, where accelerate is there to do it; else by way of the host's memory.
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
                # They are refused below, with both sizes; transformers' error has neither.
                ignore_mismatched_sizes=True,
                **place,
            )
            break
        except (ImportError, ValueError) as error:
            if last or not _about_attention(error, attention):
                raise
    require_weights(model, report, settings.model, settings.task)
    return model if place else model.to(placement)


def _about_attention(error: Exception, attention: str) -> bool:
    text = str(error).lower()
    names = {
        "flash_attention_2": ("flash_attn", "flash attention", "flash_attention"),
        "sdpa": ("sdpa", "scaled_dot_product"),
    }
    return any(name in text for name in names.get(attention, ()))


def missing_module(error: ImportError) -> StartupError:
    """Names the module and the command that installs it. transformers' own checks name it in the text only."""
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
    """transformers 5 calls it dtype, 4.57 torch_dtype as well."""
    value = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    return None if value is None else str(value).removeprefix("torch.")


def _checkpoint_bytes(model: str) -> int | None:
    """The size of the weights of a local folder. An id of the hub is not asked for its size."""
    if not os.path.isdir(model):
        return None
    files = [path for kind in ("*.safetensors", "*.bin") for path in Path(model).glob(kind)]
    return sum(path.stat().st_size for path in files) or None


def _report_weights(transformers_logging: Any, progress: Progress) -> None:
    """transformers 5 lets its progress bars be replaced; 4.57 does not, and stays silent."""
    transformers_logging.disable_progress_bar()
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    if set_hook is not None:
        set_hook(lambda factory, args, kwargs: _Bar(progress, *args, **kwargs))


class _Bar:
    """Stands in for tqdm, and tells how much of the weights is loaded."""

    def __init__(self, progress: Progress, iterable: Iterable[Any] = (), **kwargs: Any) -> None:
        self._progress = progress
        self._iterable = iterable
        self._total = kwargs.get("total") or (len(iterable) if isinstance(iterable, Sized) else 0)
        self._done = 0
        self._weights = "weights" in str(kwargs.get("desc", "")).lower()

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        if self._weights and self._total:
            self._progress("weights", 0.3 + 0.6 * min(1.0, self._done / self._total))

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *ignored: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
