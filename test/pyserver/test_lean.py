from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from solar_pyserver.lean import make_lean


@pytest.fixture
def model(llama_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(llama_folder).eval()


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = model(input_ids=torch.tensor([[1, 5, 9, 30]])).logits
    return answer


def test_a_lean_model_gives_the_same_logits_and_is_still_of_its_class(model: Any) -> None:
    before = logits(model)
    assert make_lean(model, lambda: logits(model))
    assert torch.equal(logits(model), before)
    assert isinstance(model, LlamaForCausalLM)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert type(model.model.layers[0].mlp).__call__ is not nn.Module.__call__


def test_a_lean_model_still_generates(model: Any) -> None:
    ids = torch.tensor([[0, 40, 50]])
    before = model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=2)
    assert make_lean(model, lambda: logits(model))
    assert torch.equal(model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=2), before)


def test_modules_with_hooks_or_a_forward_of_their_own_keep_them(model: Any) -> None:
    seen: list[str] = []
    model.model.norm.register_forward_hook(lambda *ignored: seen.append("hook"))
    own = model.lm_head.forward

    def forward(states: Tensor) -> Tensor:
        seen.append("forward")
        return own(states)

    model.lm_head.forward = forward
    assert make_lean(model, lambda: logits(model))
    seen.clear()
    logits(model)
    assert seen == ["hook", "forward"]


def test_a_model_that_answers_otherwise_is_put_back(model: Any) -> None:
    kinds = [type(module) for module in model.modules()]
    answers = iter([torch.zeros(1), torch.ones(1)])
    assert not make_lean(model, lambda: next(answers))
    assert [type(module) for module in model.modules()] == kinds
    assert "q_proj" not in model.model.layers[0].self_attn.__dict__
    assert logits(model).isfinite().all()


def test_a_model_that_fails_when_lean_is_put_back(model: Any) -> None:
    kinds = [type(module) for module in model.modules()]
    calls: list[int] = []

    def run() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("broken")
        return logits(model)

    assert not make_lean(model, run)
    assert [type(module) for module in model.modules()] == kinds
