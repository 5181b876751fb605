"""The command line: flags in, `Settings` out. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from . import __version__
from .errors import EXIT_MEANINGS, ExitCode, StartupError

KEY_VARIABLE = "SOLAR_PYSERVER_API_KEY"

EPILOG = """examples:
  python -m solar_pyserver causal --model meta-llama/Llama-3.2-1B-Instruct --alias llama:1b --port 3500
  python -m solar_pyserver classification --model ./sentiment --labels '["negative", "positive"]' --port 3501
  SOLAR_PYSERVER_API_KEY=secret python -m solar_pyserver causal --model ./model --device cpu --dtype float32

The API key comes from the environment ({key}) or --api-key-file; without one the server is open.
A value that begins with a dash is written --flag=VALUE.

exit codes:
{codes}"""


@dataclass(frozen=True)
class Settings:
    """What one server serves and how. Lengths and budgets are in tokens, times in seconds."""

    task: str
    model: str
    alias: str
    host: str = "127.0.0.1"
    port: int = 8000
    device: str = "auto"
    dtype: str = "auto"
    max_length: int = 4096
    trust_remote_code: bool = False
    flash_attention: bool = True
    labels: tuple[str, ...] | None = None
    max_queue: int = 512
    max_batch: int = 64
    prefill_chunk: int = 512
    kv_budget_tokens: int | None = None
    shutdown_timeout: float = 10.0
    api_key: str | None = field(default=None, repr=False)


class _Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; here an error is one line."""

    def error(self, message: str) -> NoReturn:
        raise StartupError(ExitCode.USAGE, message)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line. Its errors are `StartupError`."""
    codes = "\n".join(f"  {code.value}  {meaning}" for code, meaning in EXIT_MEANINGS.items())
    parser = _Parser(
        prog="python -m solar_pyserver",
        description="Serves one HuggingFace model over HTTP, as OpenAI's clients expect it.",
        epilog=EPILOG.format(key=KEY_VARIABLE, codes=codes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"solar-pyserver {__version__}")
    tasks = parser.add_subparsers(dest="task", metavar="causal|classification", required=True, parser_class=_Parser)

    causal = tasks.add_parser(
        "causal", help="text generation: /v1/chat/completions and /v1/completions", allow_abbrev=False
    )
    _add_common(causal, max_length=4096)
    causal.add_argument("--max-batch", type=_positive, default=64, metavar="ROWS", help="rows decoded together (64)")
    causal.add_argument(
        "--prefill-chunk",
        type=_positive,
        default=512,
        metavar="TOKENS",
        help="prompt tokens between two decoding steps (512)",
    )
    causal.add_argument(
        "--kv-budget-tokens",
        type=_positive,
        metavar="TOKENS",
        help="rows x longest row that the KV cache may hold (default: from free memory)",
    )

    classification = tasks.add_parser(
        "classification", help="sequence classification: /v1/classify", allow_abbrev=False
    )
    _add_common(classification, max_length=512)
    classification.add_argument(
        "--labels", metavar="JSON", help="label names in class order, a JSON list of strings (default: the model's)"
    )
    return parser


def _add_common(parser: argparse.ArgumentParser, max_length: int) -> None:
    add = parser.add_argument
    add("--model", required=True, help="HuggingFace id or local folder")
    add("--alias", help="name that /v1/models and answers give (default: the model)")
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    add("--port", type=_port, default=8000, help="port to listen on (8000)")
    add("--device", choices=("auto", "cuda", "mps", "cpu"), default="auto", help="auto is CUDA, then MPS, then CPU")
    add(
        "--dtype",
        choices=("auto", "float16", "bfloat16", "float32"),
        default="auto",
        help="auto is the checkpoint's own, or float32 on a CPU without it",
    )
    add(
        "--max-length",
        type=_positive,
        default=max_length,
        metavar="TOKENS",
        help=f"longest sequence ({max_length}); the model's own limit still holds",
    )
    add("--trust-remote-code", action="store_true", help="run Python code that the model repository brings")
    add("--no-flash-attention", dest="flash_attention", action="store_false", help="never use flash_attention_2")
    add("--max-queue", type=_positive, default=512, metavar="REQUESTS", help="requests that may wait before 429 (512)")
    add(
        "--shutdown-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="time to finish running requests after SIGTERM (10)",
    )
    add("--api-key-file", metavar="PATH", help=f"file that holds the API key (else ${KEY_VARIABLE})")


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises `StartupError` with the exit code that the mistake deserves."""
    given = build_parser().parse_args(list(argv))
    causal = given.task == "causal"
    return Settings(
        task=given.task,
        model=given.model,
        alias=given.alias or given.model,
        host=given.host,
        port=given.port,
        device=given.device,
        dtype=given.dtype,
        max_length=given.max_length,
        trust_remote_code=given.trust_remote_code,
        flash_attention=given.flash_attention,
        labels=None if causal else parse_labels(given.labels),
        max_queue=given.max_queue,
        max_batch=given.max_batch if causal else 64,
        prefill_chunk=given.prefill_chunk if causal else 512,
        kv_budget_tokens=given.kv_budget_tokens if causal else None,
        shutdown_timeout=given.shutdown_timeout,
        api_key=read_key(given.api_key_file, environ),
    )


def parse_labels(text: str | None) -> tuple[str, ...] | None:
    """An absent or empty list means the model's own labels."""
    if text is None or not text.strip():
        return None
    try:
        labels = json.loads(text)
    except ValueError as error:
        raise StartupError(ExitCode.LABELS, f"--labels is not JSON: {error}") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise StartupError(ExitCode.LABELS, '--labels must be a JSON list of names, such as ["negative", "positive"]')
    if len(set(labels)) != len(labels):
        raise StartupError(ExitCode.LABELS, "--labels names a label twice")
    return tuple(labels) or None


def read_key(path: str | None, environ: Mapping[str, str]) -> str | None:
    """The API key, from the file if one is given. Raises `StartupError` where it cannot be read or is no text."""
    if path is None:
        key = environ.get(KEY_VARIABLE) or None
        # Bytes that are no text come as halves of surrogate pairs, which no request can spell.
        if key is not None and any("\ud800" <= letter <= "\udfff" for letter in key):
            raise StartupError(ExitCode.USAGE, f"{KEY_VARIABLE} is not text in UTF-8")
        return key
    try:
        with open(path, encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StartupError(ExitCode.USAGE, f"--api-key-file {path} cannot be read: {reason}") from error
    if not key:
        raise StartupError(ExitCode.USAGE, f"--api-key-file {path} is empty")
    return key


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time in seconds")
    return value
