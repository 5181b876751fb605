"""Which models may share a batch: decided by their cache and by their logits."""

from __future__ import annotations

import inspect
import threading
import warnings
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache

from server_process import wait_for
from solar_pyserver import generation
from solar_pyserver.batch_model import cache_argument, cache_of, mask_kinds, prepare_batching
from solar_pyserver.events import EventLog, Throttle
from solar_pyserver.generation import Finished, GenerationRequest, Piece, Row, Update
from solar_pyserver.kv_pool import plain_shapes
from solar_pyserver.metrics import Metrics
from solar_pyserver.sampling import SamplingParams
from solar_pyserver.sequential_worker import SequentialWorker
from solar_pyserver.tokenizing import TextTokenizer
from solar_pyserver.worker import ServerHooks


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_plain_cache_is_batched_with_either_attention(llama_folder: Path, attention: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama_folder, attn_implementation=attention).eval()
    batch, reason = prepare_batching(model, 4, 512)
    assert batch is not None, reason


def test_a_batch_in_bfloat16_is_within_rounding(llama_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama_folder, dtype=torch.bfloat16).eval()
    batch, reason = prepare_batching(model, 4, 512)
    assert batch is not None, reason


@pytest.mark.parametrize("family", ["GPT2", "GPTNeoX", "OPT", "Qwen2", "Phi", "Falcon", "Bloom"])
def test_other_families_are_batched_only_where_the_logits_agree(family: str) -> None:
    import transformers

    sizes: dict[str, Any] = {
        "GPT2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
        "OPT": {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
        },
        "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    }
    size = sizes.get(
        family, {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    )
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=100, initializer_range=0.3, **size)
    model = getattr(transformers, f"{family}ForCausalLM" if family != "GPT2" else "GPT2LMHeadModel")(config).eval()
    batch, reason = prepare_batching(model, 4, 512)
    if batch is None:
        assert reason
        return
    rows = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10], [11, 12]]
    with torch.inference_mode():
        batch.pool.reserve(3, 16, budget=3 * 16)
        for at, row in enumerate(rows):
            batch.prefill(at, row[:-1], 0)
        logits = batch.decode([row[-1] for row in rows], [len(row) - 1 for row in rows])
        for at, row in enumerate(rows):
            assert torch.allclose(logits[at], model(torch.tensor([row])).logits[0, -1], atol=1e-3), family


def test_llama_like_families_are_batched() -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
    )
    batch, reason = prepare_batching(Qwen2ForCausalLM(config).eval(), 4, 512)
    assert batch is not None, reason


@pytest.mark.parametrize(
    "rope",
    [
        {
            "rope_type": "longrope",
            "short_factor": [1.0] * 8,
            "long_factor": [4.0] * 8,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        {"rope_type": "dynamic", "factor": 4.0},
    ],
    ids=["longrope", "dynamic"],
)
def test_positions_that_depend_on_the_longest_row_are_batched_only_below_that_length(rope: dict[str, Any]) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=100,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256 if rope["rope_type"] == "longrope" else 64,
        rope_parameters={"rope_theta": 10000.0, **rope},
    )
    model = LlamaForCausalLM(config).eval()
    before = model(torch.tensor([[1, 2, 3]])).logits
    batch, reason = prepare_batching(model, 4, 256)
    assert batch is None
    assert "longest row" in reason
    assert torch.equal(model(torch.tensor([[1, 2, 3]])).logits, before)
    batch, reason = prepare_batching(model, 4, 64)
    assert batch is not None, reason


def test_a_sliding_window_is_not_batched_and_the_reason_names_its_layers(mistral_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(mistral_folder).eval()
    batch, reason = prepare_batching(model, 4, 512)
    assert batch is None
    assert "DynamicSlidingWindowLayer" in reason


@pytest.mark.parametrize(("window", "batched"), [(32, False), (64, True)])
@pytest.mark.parametrize("family", ["GPTNeo", "Doge"])
def test_a_window_that_the_model_cuts_out_of_the_mask_itself_is_batched_only_up_to_its_length(
    family: str, window: int, batched: bool
) -> None:
    import transformers

    sizes: dict[str, Any] = {
        "GPTNeo": {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
        "Doge": {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
    }
    name = {"GPTNeo": "window_size", "Doge": "keep_window_size"}[family]
    config = getattr(transformers, f"{family}Config")(vocab_size=64, hidden_size=32, **sizes[family], **{name: window})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    batch, reason = prepare_batching(model, 4, 64)
    assert (batch is not None) is batched, reason
    assert batched or "no more than 32" in reason


def test_a_model_whose_batch_gives_other_logits_is_not_batched(llama: Any) -> None:
    class Wrong:
        """Ignores the mask, as a model does that does not know it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(llama, name)

        def __call__(self, **inputs: Any) -> Any:
            if inputs["input_ids"].shape[1] == 1:
                inputs["attention_mask"] = None
            return llama(**inputs)

    batch, reason = prepare_batching(Wrong(), 4, 512)
    assert batch is None
    assert "other logits" in reason


class Named:
    """The model as of a release that calls the cache by this name; another name is unknown to it."""

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self._own = cache_argument(model)
        self._name = name
        renamed = [
            parameter.replace(name=name) if parameter.name == self._own else parameter
            for parameter in inspect.signature(model.forward).parameters.values()
        ]
        self.forward = lambda: None
        self.forward.__signature__ = inspect.Signature(renamed)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **inputs: Any) -> Any:
        unknown = inputs.keys() - inspect.signature(self.forward).parameters.keys()
        assert not unknown, unknown
        if self._name in inputs:
            inputs[self._own] = inputs.pop(self._name)
        output = self._model(**inputs)
        return SimpleNamespace(**{"logits": output.logits, self._name: cache_of(output)})


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_cache_goes_by_the_name_that_the_models_forward_has_for_it(llama: Any, name: str) -> None:
    batch, reason = prepare_batching(Named(llama, name), 4, 512)
    assert batch is not None, reason


def test_a_model_that_takes_its_cache_by_no_name_we_know_is_not_batched_and_the_reason_says_so(llama: Any) -> None:
    model = Named(llama, "past_key_values")
    model.forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            one.replace(name="memory") if one.name == "past_key_values" else one
            for one in inspect.signature(model.forward).parameters.values()
        ]
    )
    batch, reason = prepare_batching(model, 4, 512)
    assert batch is None
    assert reason == "it takes no cache: neither cache nor past_key_values"


def test_passes_over_the_pool_warn_of_nothing(llama: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, reason = prepare_batching(llama, 4, 512)
    assert batch is not None, reason


def test_only_caches_of_plain_layers_have_shapes(llama: Any) -> None:
    assert plain_shapes(object()) is None
    assert plain_shapes(DynamicCache()) is None
    output = llama(input_ids=torch.tensor([[1, 2, 3]]), use_cache=True)
    shapes = plain_shapes(cache_of(output))
    assert shapes is not None
    assert [(shape.heads, shape.key_size) for shape in shapes] == [(2, 16), (2, 16)]
    assert shapes[0].bytes_per_token == 2 * (16 + 16) * 4


def test_masks_are_tried_in_the_order_of_their_cost() -> None:
    assert mask_kinds("sdpa") == ["4d", "2d"]
    assert mask_kinds("flash_attention_2") == ["2d"]


def run_all(calls: list[Any]) -> None:
    for call in calls:
        call()


@pytest.fixture
def sequential(mistral_folder: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(mistral_folder).eval()
    tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(mistral_folder), {1})
    told: list[tuple[GenerationRequest, Update]] = []
    hooks = ServerHooks(EventLog(BytesIO()), Metrics(), run_all, lambda message: None)
    worker = SequentialWorker(model, tokenizer, 8, hooks)
    worker.start()
    yield worker, told, model, tokenizer
    worker.stop()


def ask(
    told: list[tuple[GenerationRequest, Update]],
    worker: SequentialWorker,
    prompt: list[int],
    tokens: int,
    **wishes: Any,
) -> GenerationRequest:
    wishes = {"sampling": SamplingParams(temperature=0), "ignore_eos": True, **wishes}
    request = GenerationRequest(prompts=[prompt], max_new_tokens=[tokens], deliver=lambda update: None, **wishes)
    request.deliver = lambda update: told.append((request, update))
    worker.submit(request)
    return request


def text_of(told: list[tuple[GenerationRequest, Update]], request: GenerationRequest) -> str:
    wait_for(lambda: any(who is request and isinstance(what, Finished) for who, what in list(told)), "the end")
    return "".join(what.text for who, what in told if who is request and isinstance(what, Piece))


def test_one_row_at_a_time_gives_what_generate_gives(sequential: Any) -> None:
    worker, told, model, tokenizer = sequential
    prompt = [0, 50, 60, 70]
    requests = [ask(told, worker, prompt, 60, stream=True), ask(told, worker, prompt, 60)]
    output = model.generate(
        torch.tensor([prompt]), max_new_tokens=60, do_sample=False, eos_token_id=None, pad_token_id=2
    )
    expected = tokenizer.decode(output[0, 4:].tolist())
    assert [text_of(told, request) for request in requests] == [expected, expected]


def test_one_row_at_a_time_ends_at_stop_strings_and_obeys_penalties(sequential: Any) -> None:
    worker, told, _, _ = sequential
    plain = text_of(told, ask(told, worker, [0, 50], 30))
    stop = plain[5:8]
    assert text_of(told, ask(told, worker, [0, 50], 30, stop=(stop,))) == plain[: plain.index(stop)]
    penalised = SamplingParams(temperature=0, frequency_penalty=2.0)
    assert text_of(told, ask(told, worker, [0, 50], 30, sampling=penalised)) != plain


@pytest.mark.parametrize("tokens", [1, 3])
def test_one_row_at_a_time_is_told_at_its_first_token_however_short_it_is(
    sequential: Any, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    worker, told, _, _ = sequential
    out = BytesIO()
    monkeypatch.setattr(worker, "_events", EventLog(out))
    monkeypatch.setattr(generation, "Throttle", partial(Throttle, clock=lambda: 0.0))
    text_of(told, ask(told, worker, [0, 50], tokens))
    wait_for(lambda: b"request-end" in out.getvalue(), "the end")
    names = [line.split()[1] for line in out.getvalue().decode().splitlines()]
    assert names == ["request-start", "generating", "request-end"]


def test_a_cancelled_row_ends_and_the_next_one_starts(sequential: Any) -> None:
    worker, told, _, _ = sequential
    passes: list[GenerationRequest] = []
    gate = threading.Event()
    gate.set()
    take_token = worker.take_token

    def gated(row: Row, logits: torch.Tensor) -> int:
        passes.append(row.request)
        assert gate.wait(60)
        return int(take_token(row, logits))

    worker.take_token = gated
    leaving = ask(told, worker, [0, 50], 200, stream=True)
    wait_for(lambda: any(who is leaving for who, _ in list(told)), "the first piece")
    gate.clear()
    worker.cancel(leaving)
    before = len(passes)
    gate.set()
    following = ask(told, worker, [0, 51], 3)
    text_of(told, following)
    assert passes.count(following) == 3
    assert passes.count(leaving) - before <= 2
    assert not any(who is leaving and isinstance(what, Finished) for who, what in told)
