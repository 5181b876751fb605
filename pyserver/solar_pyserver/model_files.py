"""The check that the files of a local model are whole. A download that broke off leaves a part, or Git a pointer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/"
# As transformers looks for them: the first that is there counts, and others beside it may be broken.
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "spm.model")


def damage(folder: Path) -> str:
    """What is wrong with the files that a model is loaded from, by name. Empty where nothing is."""
    for file in [*_weights(folder), *_first(folder, TOKENIZERS)]:
        if problem := _damage(file):
            return f"{file.name} {problem}"
    return ""


def _weights(folder: Path) -> Iterator[Path]:
    """The file of the weights, or the files that its index names."""
    for name in WEIGHTS:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            yield folder / name
            return
        if index.is_file():
            try:
                names = sorted({str(shard) for shard in json.loads(index.read_text())["weight_map"].values()})
            except (ValueError, KeyError, TypeError, AttributeError, OSError):
                names = []
            yield from (index, *(folder / shard for shard in names))
            return


def _first(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()][:1]


def _damage(file: Path) -> str:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(len(POINTER))
            length = int.from_bytes(start[:8], "little")
            opened.seek(8)
            header = opened.read(length) if 8 + length <= size else b""
    except FileNotFoundError:
        return "is missing, and the index of the weights names it"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if start == POINTER:
        return "is a pointer of Git LFS and not the file; fetch it with: git lfs pull"
    return _cut(size, length, header) if file.suffix == ".safetensors" else ""


def _cut(size: int, length: int, header: bytes) -> str:
    """`length` is what the header should have. The header tells where the data of each weight ends."""
    if size < 8 or not header:
        return f"is no whole safetensors file: it has {size} bytes"
    try:
        entries = json.loads(header).items()
        whole = (
            8 + length + max((entry["data_offsets"][1] for name, entry in entries if name != "__metadata__"), default=0)
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "is no safetensors file: its header cannot be read"
    return "" if size >= whole else f"is not whole: it has {size} of {whole} bytes"
