"""Asks the finished models, and writes down what they answer: `expected.json` and `README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import causal
import classifier
import corpus
from readme import write_readme

Messages = list[dict[str, str]]

# Below this, rounding in another backend or in half precision could choose another word.
LEAST_MARGIN = 1.0
MAX_TOKENS = 512
QUESTIONS = (
    "Hello",
    "Hello!",
    "Who are you?",
    "What can you do?",
    "What is the sun?",
    "How hot is the sun?",
    "Why does the sun shine?",
    "What is a planet?",
    "Name the planets.",
    "What is the moon?",
    "What is a star?",
    "Tell me about Mars.",
    "Why is the sky blue?",
    "What is Solar Host?",
    "What is a token?",
    "Count to ten",
    "Count to ten.",
    "Count to one hundred.",
    "Tell me a joke.",
    "Write a poem.",
    "Tell me a short story.",
    "Tell me a story.",
    "Thank you!",
    "Goodbye",
    "How do I repair a bicycle?",
)
TOPICS_OF_CHATS: tuple[Messages, ...] = (
    [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the sun?"},
    ],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How are you?"},
        {"role": "user", "content": "What is a comet?"},
    ],
)
PROMPTS = ("The sun is", "Once upon a time", "A good server", "The moon is a quiet place.")


def write_expected(out: Path) -> None:
    """Writes `expected.json` and `README.md` into `out`.

    Raises RuntimeError when an answer does not end, or hangs on too little.
    """
    chats = _answers(out / causal.NAME)
    expected = {
        "chat_max_tokens": MAX_TOKENS,
        "chat": chats,
        "completion": _completions(out / causal.NAME),
        "classification": _classifications(out / classifier.NAME),
    }
    text = json.dumps(expected, indent=2, ensure_ascii=False) + "\n"
    (out / "expected.json").write_text(text, encoding="utf-8")
    write_readme(out, chats)
    print(f"wrote {out / 'expected.json'}")


def chats() -> list[Messages]:
    """Every chat whose answer is written down: single questions, chats, and one long history."""
    long: Messages = []
    for topic in corpus.chat_topics()[:20]:
        long.append({"role": "user", "content": topic.questions[0]})
        long.append({"role": "assistant", "content": topic.answer})
    long.append({"role": "user", "content": "What is the moon?"})
    single: list[Messages] = [[{"role": "user", "content": question}] for question in QUESTIONS]
    return [*single, *TOPICS_OF_CHATS, long]


def _answers(folder: Path) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = []
    for messages in chats():
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        answer = _generate(folder, tokenizer, inputs, MAX_TOKENS)
        if answer["finish_reason"] != "stop" or answer["margin"] < LEAST_MARGIN:
            raise RuntimeError(f"{messages[-1]['content']!r} is not learnt well: {answer}")
        answers.append({"messages": messages, **answer})
    return answers


def _completions(folder: Path) -> list[dict[str, Any]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [
        {
            "prompt": prompt,
            "max_tokens": 16,
            **_generate(folder, tokenizer, tokenizer(prompt, return_tensors="pt"), 16),
        }
        for prompt in PROMPTS
    ]


_loaded: dict[Path, Any] = {}


def _generate(folder: Path, tokenizer: Any, inputs: Any, limit: int) -> dict[str, Any]:  # noqa: ANN401
    """The greedy answer in full precision; `margin` is the least lead in logits of any token."""
    if folder not in _loaded:
        _loaded[folder] = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = _loaded[folder]
    output = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=limit,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    prompt_tokens = inputs["input_ids"].shape[1]
    tokens = output.sequences[0, prompt_tokens:]
    best = torch.stack([step[0] for step in output.logits]).topk(2).values
    return {
        "answer": tokenizer.decode(tokens, skip_special_tokens=True),
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(tokens),
        "finish_reason": "stop" if tokens[-1] == model.config.eos_token_id else "length",
        "margin": round(float((best[:, 0] - best[:, 1]).min()), 2),
    }


def _classifications(folder: Path) -> list[dict[str, Any]]:
    """The held-out sentences, with their true labels and the score the model gives that label."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    sentences = corpus.held_out_sentences() + classifier.generated_held_out(seed=1, count=50)
    rows = []
    for text, label in sentences:
        with torch.no_grad():
            scores = model(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
        score = round(float(scores[model.config.label2id[label]]), 4)
        rows.append({"text": text, "label": label, "score": score})
    return rows
