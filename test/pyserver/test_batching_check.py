"""A text's scores are the same alone and in company. Models that look at padding are found at the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from server_process import ServerProcess
from solar_pyserver.batching_check import IN_BATCHES, check_batching, long_length
from solar_pyserver.configuration import parse
from solar_pyserver.events import EventLog
from solar_pyserver.loading import load
from solar_pyserver.metrics import Metrics
from solar_pyserver.scoring import Scorer
from solar_pyserver.service import build_classification
from solar_pyserver.worker import ServerHooks
from tiny_models import LINES, byte_tokenizer, word_tokenizer

WORDS = " ".join(LINES).replace(".", "").replace(",", "").split()
TEXTS = [" ".join(WORDS[at * at % len(WORDS)] for at in range(length)) for length in (4, 8, 21, 60, 199)]

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WIDE = {"initializer_range": 0.3}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, **WIDE}
XLNET = {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 32, **WIDE}
FUNNEL = {"d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 32, "block_sizes": [1, 1, 1], "initializer_std": 0.3}
FNET = {name: value for name, value in SIZE.items() if name != "num_attention_heads"}
BIGBIRD = {**SIZE, **WIDE, "block_size": 8, "num_random_blocks": 1}


def make(folder: Path, family: str, values: dict[str, Any], side: str = "right", raw: Any = None) -> Path:
    """A classifier with random weights, and a tokenizer that pads on `side`."""
    tokenizer = raw or word_tokenizer()
    tokenizer.padding_side = side
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(tokenizer), **{"pad_token_id": tokenizer.pad_token_id, **values}
    )
    torch.manual_seed(9)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settled(folder: Path) -> tuple[Scorer, Any, str]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scorer = Scorer(model, tokenizer, "softmax")
    return scorer, tokenizer, check_batching(scorer, tokenizer, 256)


def plain_scores(folder: Path, tokenizer: Any) -> list[list[float]]:
    """What transformers gives for each text by itself, by a model that has seen no other text."""
    scores = []
    for text in TEXTS:
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        with torch.inference_mode():
            scores.append(torch.softmax(model(**tokenizer(text, return_tensors="pt")).logits[0], -1).tolist())
    return scores


@pytest.mark.parametrize(
    ("family", "values", "side"),
    [
        ("Bert", {**SIZE, **WIDE}, "right"),
        ("Bert", {**SIZE, **WIDE}, "left"),
        ("GPT2", GPT2, "left"),
        ("Llama", {**SIZE, **WIDE}, "left"),
        # The padding of the config and that of the tokenizer are not the same.
        ("Llama", {**SIZE, **WIDE, "pad_token_id": 9}, "right"),
        ("GPT2", {**GPT2, "pad_token_id": 9}, "right"),
        ("Roberta", {**SIZE, **WIDE, "pad_token_id": 1}, "right"),
        ("Llama", {**SIZE, **WIDE, "pad_token_id": None}, "right"),
        # Its head looks at the last place.
        ("XLNet", XLNET, "right"),
        ("DebertaV2", {**SIZE, **WIDE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}, "left"),
        ("Electra", {**SIZE, **WIDE}, "left"),
    ],
)
def test_padding_is_put_where_the_model_does_not_see_it(
    tmp_path: Path, family: str, values: dict[str, Any], side: str
) -> None:
    folder = make(tmp_path / "model", family, values, side)
    scorer, tokenizer, batching = settled(folder)
    assert batching == IN_BATCHES
    with torch.inference_mode():
        together = scorer([dict(tokenizer(text)) for text in TEXTS])
    for values_of_text, expected in zip(together, plain_scores(folder, tokenizer), strict=True):
        assert values_of_text == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("family", "values"),
    [
        ("FNet", {**FNET, **WIDE}),
        ("Nystromformer", {**SIZE, **WIDE}),
        ("ConvBert", {**SIZE, **WIDE}),
        ("Funnel", FUNNEL),
        ("BigBird", BIGBIRD),
    ],
)
def test_models_that_see_padding_or_length_are_asked_singly(
    tmp_path: Path, family: str, values: dict[str, Any]
) -> None:
    folder = make(tmp_path / "model", family, values)
    scorer, tokenizer, batching = settled(folder)
    assert batching.startswith("one at a time: ")
    with torch.inference_mode():
        singly = [scorer([dict(tokenizer(text))])[0] for text in TEXTS]
        # The other way round: what was asked before counts as little as what is asked beside.
        backwards = [scorer([dict(tokenizer(text))])[0] for text in reversed(TEXTS)][::-1]
    for one, other, expected in zip(singly, backwards, plain_scores(folder, tokenizer), strict=True):
        assert one == pytest.approx(expected, abs=1e-5)
        assert other == pytest.approx(expected, abs=1e-5)


def test_without_any_padding_token_texts_are_asked_singly(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = None
    _, _, batching = settled(make(tmp_path / "model", "GPT2", GPT2, raw=tokenizer))
    assert batching == "one at a time: its tokenizer has no padding token"


def test_a_config_that_knew_no_padding_knows_none_again_where_batches_do_not_work(tmp_path: Path) -> None:
    """Its token might be one that ends each text, and that the head would then look past."""
    folder = make(tmp_path / "model", "FNet", {**FNET, **WIDE})
    scorer, tokenizer, _ = settled(folder)
    scorer.model.config.pad_token_id = None
    again = Scorer(scorer.model, tokenizer, "softmax")
    assert check_batching(again, tokenizer, 256) != IN_BATCHES
    assert scorer.model.config.pad_token_id is None


def test_a_trial_that_fails_means_asked_singly_and_is_said(tmp_path: Path) -> None:
    """Texts alone are a part of the trial too: here they have more tokens than the model has positions."""
    folder = make(tmp_path / "model", "Bert", {**SIZE, **WIDE, "max_position_embeddings": 30})
    settings = parse(["classification", "--model", str(folder), "--device", "cpu"])
    loaded = replace(load(settings, lambda stage, progress: None), context=200)
    out = BytesIO()
    service = build_classification(
        settings, loaded, ServerHooks(EventLog(out), Metrics(), lambda calls: None, lambda message: None)
    )
    told = str(service.facts["batching"])
    assert told.startswith("one at a time: the trial of a batch failed: ")
    assert f"solar: notice message=requests are not batched but run {told}" in out.getvalue().decode()


def test_a_table_of_positions_that_is_no_plain_embedding_limits_the_context(tmp_path: Path) -> None:
    """I-BERT's: the first of its 66 positions stands for padding."""
    folder = make(tmp_path / "model", "IBert", {**SIZE, **WIDE, "max_position_embeddings": 66})
    loaded = load(parse(["classification", "--model", str(folder), "--device", "cpu"]), lambda stage, progress: None)
    assert loaded.context == 65
    with torch.inference_mode():
        scorer = Scorer(loaded.model, loaded.tokenizer, "softmax")
        assert scorer([dict(loaded.tokenizer(" ".join(WORDS[at % 20] for at in range(63))))])


def test_the_trial_of_a_large_model_on_a_cpu_is_a_short_one() -> None:
    class Model:
        def __init__(self, size: int) -> None:
            self._size = size

        def parameters(self) -> Any:
            yield torch.empty(self._size, device="meta")

    class OnCpu(Model):
        def parameters(self) -> Any:
            yield torch.empty(1).expand(self._size)

    assert long_length(OnCpu(7_000_000_000), 4096) == 64
    assert 300 < long_length(OnCpu(110_000_000), 4096) < 1024
    assert long_length(OnCpu(1000), 4096) == 1024
    assert long_length(OnCpu(1000), 50) == 50
    assert long_length(Model(7_000_000_000), 4096) > 500


def test_health_says_how_texts_are_asked(start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    servers = [
        start_server("classification", "--model", str(make(tmp_path / family, family, values)))
        for family, values in (("Bert", {**SIZE, **WIDE}), ("FNet", {**FNET, **WIDE}))
    ]
    for server in servers:
        server.wait_ready()
    told = [server.request("GET", "/health")[1]["batching"] for server in servers]
    assert told[0] == IN_BATCHES
    assert told[1].startswith("one at a time: a batch gives other scores")
