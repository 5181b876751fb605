"""The README of the folder of models, written by the run that makes them, so that it stays true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEAD = """\
# Tiny models for the tests and the quick start

Written by `scripts/models/train.py`; do not edit by hand.

| path | what it is | bytes |
|---|---|---|
{sizes}

`solar-tiny.gguf` (llama.cpp) and `solar-tiny/` (transformers) hold the same weights, in half
precision, the same vocabulary (1024 tokens, byte-level BPE) and the same chat template (ChatML).
A BOS token begins every prompt: the template writes it, and the tokenizer adds it to plain text.
At temperature 0 both backends answer word for word the same. The model knows its small corpus by
heart (`scripts/models/texts`); asked anything else, it says that it does not know. Context: 8192.

`solar-sentiment/` is a BERT of two layers, labels `negative` and `positive`, up to 512 tokens. It
is trained on sentences made from word lists.

`expected.json` has, for the tests:
- `chat`: messages and the greedy answer, with its token counts. `completion_tokens` counts the end
  token. `margin` is the least lead in logits that a token of the answer had;
- `completion`: the same for plain prompts, cut at `max_tokens`;
- `classification`: sentences that were held out from training, the true label, and the score that
  the model gives to it.

## Make them again

```sh
python3 -m venv .venv-models        # Python 3.11 or newer
.venv-models/bin/pip install -r scripts/models/requirements.txt
.venv-models/bin/python scripts/models/train.py
.venv-models/bin/python scripts/models/verify.py --llama-server llama-server
```

Training takes about {minutes} on two cores. It is seeded: the same machine writes the same bytes.
`verify.py` asks a real llama-server and compares each answer, token count and tokenisation.

Licence: MIT, like the project; the texts were written for it.

## Greedy answers

| prompt | answer |
|---|---|
"""
TRAINING_TIME = "ten minutes"


def write_readme(out: Path, chats: list[dict[str, Any]]) -> None:
    """Writes `README.md` into `out`, with the answers to single questions as a table."""
    paths = [path for path in sorted(out.rglob("*")) if path.is_file()]
    wanted = [path for path in paths if path.parent != out or path.suffix == ".gguf"]
    sizes = [
        f"| `{path.relative_to(out)}` | {_kind(path)} | {path.stat().st_size:,} |"
        for path in wanted
    ]
    rows = [
        f"| {chat['messages'][0]['content']} | {_cell(chat['answer'])} |"
        for chat in chats
        if len(chat["messages"]) == 1
    ]
    head = HEAD.format(sizes="\n".join(sizes), minutes=TRAINING_TIME)
    (out / "README.md").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


def _kind(path: Path) -> str:
    kinds = {
        ".gguf": "chat model for llama.cpp",
        ".safetensors": "weights",
        ".jinja": "chat template",
    }
    return kinds.get(path.suffix, "tokenizer" if "tokenizer" in path.name else "settings")


def _cell(answer: str) -> str:
    line = answer.replace("\n", "<br>")
    return line if len(line) <= 300 else f"{line[:140]} … {line[-60:]}"
