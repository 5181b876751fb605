"""Trains the chat model and writes it for transformers and, with the same weights, as GGUF."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

import corpus
from chat_examples import FALLBACK, IGNORED, SYSTEM_PROMPTS, Example, ExampleMaker
from chat_tokenizer import BOS, EOS, PAD, save_tokenizer, train_tokenizer
from gguf_export import write_gguf

NAME = "solar-tiny"
CONTEXT = 8192
VOCABULARY = 1024


@dataclass(frozen=True)
class CausalPlan:
    """How long to train. `batch_tokens` counts padding."""

    steps: int = 1000
    batch_tokens: int = 2048
    peak_rate: float = 4e-3
    warmup: int = 50


def train_causal(out: Path, seed: int, plan: CausalPlan) -> None:
    """Trains, then writes `solar-tiny/` and `solar-tiny.gguf` into `out`."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(_tokenizer_texts(), VOCABULARY)
    model = LlamaForCausalLM(_config(tokenizer))
    maker = ExampleMaker(tokenizer, random.Random(seed), CONTEXT)
    print(f"{NAME}: {model.num_parameters():,} parameters, {tokenizer.get_vocab_size()} tokens")
    _fit(model, maker, random.Random(seed + 1), plan)

    folder = out / NAME
    # Half precision in both files, so that both backends start from the same numbers.
    model.half().eval()
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder, CONTEXT)
    write_gguf(out / f"{NAME}.gguf", folder)


def _tokenizer_texts() -> list[str]:
    topics = corpus.chat_topics()
    questions = [f"user\n{question}?" for topic in topics for question in topic.questions]
    answers = [f"assistant\n{topic.answer}" for topic in topics] * 2
    system = [f"system\n{prompt}" for prompt in SYSTEM_PROMPTS]
    return questions + answers + system + corpus.plain_texts() + [FALLBACK]


def _config(tokenizer: Tokenizer) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )


def _fit(
    model: LlamaForCausalLM, maker: ExampleMaker, rng: random.Random, plan: CausalPlan
) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan.peak_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, plan))
    pad = model.config.pad_token_id
    started = time.monotonic()
    waiting: list[list[Example]] = []
    model.train()
    for step in range(1, plan.steps + 1):
        if not waiting:
            waiting = _batches(maker, rng, plan.batch_tokens)
        ids, labels, positions = _tensors(waiting.pop(), pad)
        # The mask is all ones: without one, transformers takes a jump of the positions for the
        # start of another text and cuts attention there.
        output = model(
            input_ids=ids,
            labels=labels,
            position_ids=positions,
            attention_mask=torch.ones_like(ids),
            use_cache=False,
        )
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == plan.steps:
            seconds = time.monotonic() - started
            print(f"  step {step}/{plan.steps}  loss {output.loss.item():.4f}  {seconds:.0f} s")


def _rate(step: int, plan: CausalPlan) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < plan.warmup:
        return (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _batches(maker: ExampleMaker, rng: random.Random, tokens: int) -> list[list[Example]]:
    """A pool of examples cut into batches of like lengths, in random order."""
    pool = sorted((maker.draw() for _ in range(512)), key=lambda example: len(example.ids))
    batches: list[list[Example]] = [[]]
    for example in pool:
        if (len(batches[-1]) + 1) * len(example.ids) > tokens and batches[-1]:
            batches.append([])
        batches[-1].append(example)
    rng.shuffle(batches)
    return batches


def _tensors(batch: list[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, labels and positions, padded on the right (where causal attention never looks)."""
    longest = max(len(example.ids) for example in batch)

    def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])

    return (
        padded([example.ids for example in batch], pad),
        padded([example.labels for example in batch], IGNORED),
        padded([example.positions for example in batch], 0),
    )
