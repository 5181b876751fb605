"""Trains the tiny sentiment classifier and writes it for transformers."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import BertConfig, BertForSequenceClassification

import corpus
from sentences import LABELS, SentenceMaker

NAME = "solar-sentiment"
LONGEST = 512
LEAST_ACCURACY = 0.95
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
ENDINGS = ("s", "d", "ed", "ing", "ly", "er", "ful", "less")


def train_classifier(out: Path, seed: int, steps: int = 1200, rows: int = 64) -> None:
    """Trains and writes `solar-sentiment/`.

    Raises RuntimeError when less than 95 % of the sentences that it never saw come out right,
    be they generated or written by hand.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    maker = SentenceMaker(rng)
    hand_written = {sentence.lower() for sentence, _ in corpus.held_out_sentences()}
    tokenizer = _tokenizer([maker.draw_training()[0] for _ in range(8000)])
    model = BertForSequenceClassification(_config(tokenizer))
    print(f"{NAME}: {model.num_parameters():,} parameters, {tokenizer.get_vocab_size()} tokens")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)
    started = time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        batch = [maker.draw_training() for _ in range(rows)]
        batch = [(text, label) for text, label in batch if _plain(text) not in hand_written]
        loss = _loss(model, tokenizer, batch, rng)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps:
            print(
                f"  step {step}/{steps}  loss {loss.item():.4f}  {time.monotonic() - started:.0f} s"
            )
    model.eval()
    _check(model, tokenizer, "generated", generated_held_out(seed, 1000))
    _check(model, tokenizer, "hand-written", corpus.held_out_sentences())
    folder = out / NAME
    model.save_pretrained(folder)
    _save_tokenizer(tokenizer, folder)


def generated_held_out(seed: int, count: int) -> list[tuple[str, str]]:
    """Different (sentence, label) pairs from the share that training never draws from."""
    maker = SentenceMaker(random.Random(seed + 1))
    found: dict[str, str] = {}
    while len(found) < count:
        sentence, label = maker.draw(held_out=True)
        found[sentence] = LABELS[label]
    return list(found.items())


def _plain(text: str) -> str:
    return text.lower().strip()


def _config(tokenizer: Tokenizer) -> BertConfig:
    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=LONGEST,
        type_vocab_size=1,
        pad_token_id=tokenizer.token_to_id("[PAD]"),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )


def _tokenizer(texts: list[str]) -> Tokenizer:
    """Whole words and endings; any other word is unknown, which training makes neutral.

    The vocabulary is counted here because WordPieceTrainer (tokenizers 0.23) breaks ties
    differently in each run.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    pieces = SPECIAL + [f"##{ending}" for ending in ENDINGS] + _words(tokenizer, texts)
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _words(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """The words of `texts` in order, less those that another one and an ending make."""
    found: set[str] = set()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        found.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    made = {
        stem + ending for stem in found if len(stem) > 2 for ending in ENDINGS if stem.isalpha()
    }
    return sorted(found - made)


def _loss(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    batch: list[tuple[str, int]],
    rng: random.Random,
) -> torch.Tensor:
    """One forward pass, with a few words hidden and the text moved to a random place.

    Hidden words teach it not to mind what it does not know, moved texts train every position.
    """
    unknown = SPECIAL.index("[UNK]")
    ids, mask = _padded(tokenizer, [text for text, _ in batch])
    hidden = (torch.rand(ids.shape) < 0.03) & (ids >= len(SPECIAL))
    ids = ids.masked_fill(hidden, unknown)
    offset = rng.randint(0, LONGEST - ids.shape[1]) if rng.random() < 0.5 else 0
    positions = torch.arange(offset, offset + ids.shape[1]).expand(ids.shape)
    labels = torch.tensor([label for _, label in batch])
    output = model(input_ids=ids, attention_mask=mask, position_ids=positions, labels=labels)
    loss: torch.Tensor = output.loss
    return loss


def _padded(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [tokenizer.encode(text).ids[:LONGEST] for text in texts]
    longest = max(len(row) for row in rows)
    pad = tokenizer.token_to_id("[PAD]")
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


def _check(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    name: str,
    sentences: list[tuple[str, str]],
) -> None:
    ids, mask = _padded(tokenizer, [text for text, _ in sentences])
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask).logits.argmax(-1).tolist()
    wrong = [
        f"{text!r} is {label}"
        for (text, label), index in zip(sentences, found, strict=True)
        if LABELS[index] != label
    ]
    accuracy = 1 - len(wrong) / len(sentences)
    print(f"  accuracy on {len(sentences)} {name} sentences: {accuracy:.3f}  {wrong[:8]}")
    if accuracy < LEAST_ACCURACY:
        raise RuntimeError(f"{NAME}: accuracy {accuracy:.3f} is below {LEAST_ACCURACY}")


def _save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """By hand, because the class name that transformers 5 writes is unknown to 4.57."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": LONGEST,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
