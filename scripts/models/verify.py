"""Holds a real llama-server's answers against `expected.json`.

Compares greedy answers, token counts, chat prompts and tokenisation with what transformers gives.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from train import DEFAULT_OUT

os.environ["HF_HUB_OFFLINE"] = "1"

ODD_TEXTS = (
    "  two spaces, a tab\t and a line\n\nbreak \n ",
    "don't we've I'll they're it's I'd 'S 'LL",
    "日本語 🙂👍🏽 é ß Ünïcödé ½ ² ٣ ᾳ x̂",
    "<|im_end|> inside <|im_start|>user\nand <|begin|>",
    "a\u00a0b\u2003c\u200bd\r\ne\x00f",
    "1234567890 3.14 -1 x1y2 ___ ...!!!",
    "",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llama-server", default="llama-server", help="the binary to ask")
    parser.add_argument("--models", type=Path, default=DEFAULT_OUT, help="folder of the models")
    arguments = parser.parse_args()
    expected = json.loads((arguments.models / "expected.json").read_text(encoding="utf-8"))
    command = [arguments.llama_server, "-m", str(arguments.models / "solar-tiny.gguf")]
    with _server([*command, "-c", "8192", "--threads", "2", "--parallel", "1"]) as url:
        faults = [
            *_chat_faults(url, expected),
            *_completion_faults(url, expected),
            *_tokenizer_faults(url, arguments.models / "solar-tiny"),
        ]
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(f"{len(faults)} differences")
    print(f"{len(expected['chat'])} chats and {len(expected['completion'])} completions are equal")


def _chat_faults(url: str, expected: dict[str, Any]) -> Iterator[str]:
    for chat in expected["chat"]:
        body = {
            "messages": chat["messages"],
            "temperature": 0,
            "max_tokens": expected["chat_max_tokens"],
        }
        reply = _post(f"{url}/v1/chat/completions", body)
        choice = reply["choices"][0]
        found = {"answer": choice["message"]["content"], "finish_reason": choice["finish_reason"]}
        yield from _differences(chat["messages"][-1]["content"], chat, found | _counts(reply))


def _completion_faults(url: str, expected: dict[str, Any]) -> Iterator[str]:
    for item in expected["completion"]:
        body = {"prompt": item["prompt"], "temperature": 0, "max_tokens": item["max_tokens"]}
        reply = _post(f"{url}/v1/completions", body)
        choice = reply["choices"][0]
        found = {"answer": choice["text"], "finish_reason": choice["finish_reason"]}
        yield from _differences(item["prompt"], item, found | _counts(reply))


def _tokenizer_faults(url: str, folder: Path) -> Iterator[str]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(1)
    alphabet = "abc eE'stdm019 .,!?\n\tßéЖ日🙂-_<|>"
    drawn = ["".join(rng.choices(alphabet, k=rng.randint(1, 40))) for _ in range(300)]
    for text in [*ODD_TEXTS, *drawn]:
        body = {"content": text, "add_special": True, "parse_special": True}
        found = _post(f"{url}/tokenize", body)["tokens"]
        tokens = tokenizer(text)["input_ids"]
        if found != tokens:
            yield f"{text!r} is {tokens} in transformers, {found} in llama.cpp"
        messages = [{"role": "user", "content": text}]
        prompt = _post(f"{url}/apply-template", {"messages": messages})["prompt"]
        wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        # llama-server leaves the BOS out of the text, and adds the token.
        if prompt.removeprefix(tokenizer.bos_token) != wanted.removeprefix(tokenizer.bos_token):
            yield f"the chat prompt is {wanted!r} in transformers, {prompt!r} in llama.cpp"


def _counts(reply: dict[str, Any]) -> dict[str, int]:
    return {name: reply["usage"][name] for name in ("prompt_tokens", "completion_tokens")}


def _differences(name: str, wanted: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for key, value in found.items():
        if value != wanted[key]:
            yield f"{name!r}: {key} is {value!r}, expected {wanted[key]!r}"


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        reply: dict[str, Any] = json.load(response)
        return reply


@contextmanager
def _server(command: list[str]) -> Iterator[str]:
    """Runs llama-server on a free port until the block ends. Raises RuntimeError if it cannot."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise RuntimeError(f"llama-server is not ready (exit code {process.poll()})")


if __name__ == "__main__":
    main()
