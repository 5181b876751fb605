from __future__ import annotations

from dataclasses import replace

import pytest

from solar_pyserver.decisions import (
    Hardware,
    attention_order,
    choose_activation,
    choose_context,
    choose_device,
    choose_dtype,
    choose_labels,
    choose_placement,
)
from solar_pyserver.errors import ExitCode, StartupError
from solar_pyserver.kv_budget import choose_kv_budget

NOTHING = Hardware()
AMPERE = Hardware(cuda=True, cuda_capability=(8, 0), cuda_bfloat16=True, cuda_devices=1, flash_attention=True)
TURING = replace(AMPERE, cuda_capability=(7, 5), cuda_bfloat16=False)
APPLE = Hardware(mps=True, mps_bfloat16=True)


def test_auto_device_is_cuda_then_mps_then_cpu() -> None:
    assert choose_device("auto", replace(AMPERE, mps=True)) == "cuda"
    assert choose_device("auto", APPLE) == "mps"
    assert choose_device("auto", NOTHING) == "cpu"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_asked_for_and_absent_is_an_error(device: str) -> None:
    with pytest.raises(StartupError) as caught:
        choose_device(device, NOTHING)
    assert caught.value.code is ExitCode.USAGE


def test_cpu_is_honoured_where_a_gpu_is_there() -> None:
    assert choose_device("cpu", AMPERE) == "cpu"


@pytest.mark.parametrize(
    ("device", "checkpoint", "hardware", "chosen"),
    [
        ("cuda", "bfloat16", AMPERE, "bfloat16"),
        ("cuda", "float16", AMPERE, "float16"),
        ("cuda", "float32", AMPERE, "float32"),
        ("cuda", "bfloat16", TURING, "float16"),
        ("mps", "bfloat16", APPLE, "bfloat16"),
        ("mps", "bfloat16", replace(APPLE, mps_bfloat16=False), "float16"),
        ("cpu", "bfloat16", NOTHING, "float32"),
        ("cpu", "float16", NOTHING, "float32"),
        ("cpu", "bfloat16", Hardware(cpu_half=frozenset({"bfloat16"})), "bfloat16"),
        ("cpu", "float16", Hardware(cpu_half=frozenset({"bfloat16"})), "float32"),
        ("cuda", None, AMPERE, "float32"),
        ("cuda", "float64", AMPERE, "float32"),
    ],
)
def test_auto_dtype_is_the_checkpoints_own_where_the_device_computes_in_it(
    device: str, checkpoint: str | None, hardware: Hardware, chosen: str
) -> None:
    assert choose_dtype("auto", device, checkpoint, hardware) == chosen


def test_a_dtype_that_is_asked_for_is_taken() -> None:
    assert choose_dtype("float16", "cpu", "float32", NOTHING) == "float16"


def test_flash_attention_is_first_where_all_it_needs_is_there() -> None:
    assert attention_order(True, "cuda", "bfloat16", AMPERE) == ["flash_attention_2", "sdpa", "eager"]


@pytest.mark.parametrize(
    ("wanted", "device", "dtype", "hardware"),
    [
        (False, "cuda", "bfloat16", AMPERE),
        (True, "cpu", "bfloat16", AMPERE),
        (True, "cuda", "float32", AMPERE),
        (True, "cuda", "float16", TURING),
        (True, "cuda", "float16", replace(AMPERE, flash_attention=False)),
    ],
)
def test_without_one_of_its_needs_flash_attention_is_not_tried(
    wanted: bool, device: str, dtype: str, hardware: Hardware
) -> None:
    assert attention_order(wanted, device, dtype, hardware) == ["sdpa", "eager"]


def test_a_model_goes_to_one_gpu_and_is_spread_only_where_it_does_not_fit() -> None:
    pair = replace(AMPERE, cuda_devices=2, cuda_free_bytes=100, accelerate=True)
    assert choose_placement("cuda", 50, pair) == "cuda:0"
    assert choose_placement("cuda", None, pair) == "cuda:0"
    assert choose_placement("cuda", 90, pair) == "auto"
    assert choose_placement("cuda", 90, replace(pair, accelerate=False)) == "cuda:0"
    assert choose_placement("cuda", 90, replace(pair, cuda_devices=1)) == "cuda:0"
    assert choose_placement("cpu", 90, pair) == "cpu"


def test_context_is_the_smaller_of_setting_and_model() -> None:
    assert choose_context(4096, [2048, None]) == 2048
    assert choose_context(512, [2048, None]) == 512
    assert choose_context(512, [None, int(1e30)]) == 512
    # RoBERTa: 514 positions of which the tokenizer may use 512
    assert choose_context(4096, [514, 512]) == 512


def test_kv_budget_comes_from_free_memory_and_holds_one_context_at_least() -> None:
    assert choose_kv_budget(None, 1000, 64, 10_000_000, 100, "cpu") == 25_000
    assert choose_kv_budget(None, 1000, 64, 10_000_000, 100, "cuda") == 60_000
    assert choose_kv_budget(None, 1000, 64, 1, 100, "cuda") == 1000
    assert choose_kv_budget(None, 1000, 4, 10**12, 100, "cuda") == 4000
    assert choose_kv_budget(None, 1000, 4, None, 100, "mps") == 4000
    assert choose_kv_budget(1500, 1000, 64, 1, 100, "cuda") == 1500
    assert choose_kv_budget(10, 1000, 64, 1, 100, "cuda") == 1000


def test_labels_are_those_given_or_the_models_and_must_fit() -> None:
    assert choose_labels(None, ["a", "b"]) == ("a", "b")
    assert choose_labels(["no", "yes"], ["a", "b"]) == ("no", "yes")
    with pytest.raises(StartupError) as caught:
        choose_labels(["only"], ["a", "b"])
    assert caught.value.code is ExitCode.LABELS
    assert "1 names" in str(caught.value)
    assert "2 classes" in str(caught.value)


def test_scores_are_softmax_or_sigmoid_by_the_kind_of_model() -> None:
    assert choose_activation(None, 2) == "softmax"
    assert choose_activation("single_label_classification", 3) == "softmax"
    assert choose_activation("multi_label_classification", 3) == "sigmoid"
    assert choose_activation(None, 1) == "sigmoid"
    assert choose_activation("regression", 1) == "none"
