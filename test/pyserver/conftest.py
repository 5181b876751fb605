from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "pyserver")]
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import tiny_models
from server_process import ServerProcess

# The models are made once for all tests; nothing writes to them.


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.make_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def mistral_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.make_mistral(tmp_path_factory.mktemp("mistral"))


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.make_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def llama(llama_folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(llama_folder).eval()


@pytest.fixture(scope="session")
def tokenizer(llama_folder: Path) -> Any:
    from transformers import AutoTokenizer

    from solar_pyserver.tokenizing import TextTokenizer

    return TextTokenizer(AutoTokenizer.from_pretrained(llama_folder), {1})


@pytest.fixture(scope="module")
def start_server() -> Iterator[Callable[..., ServerProcess]]:
    """Starts real server processes; those still running at the end of the module are killed."""
    started: list[ServerProcess] = []

    def start(*arguments: str, **options: Any) -> ServerProcess:
        server = ServerProcess(*arguments, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def causal(start_server: Callable[..., ServerProcess], llama_folder: Path) -> ServerProcess:
    server = start_server("causal", "--model", str(llama_folder), "--alias", "tiny:llama", key="secret")
    server.wait_ready()
    return server


@pytest.fixture(scope="module")
def classifier(start_server: Callable[..., ServerProcess], bert_folder: Path) -> ServerProcess:
    server = start_server("classification", "--model", str(bert_folder), "--alias", "tiny:bert", "--max-length", "64")
    server.wait_ready()
    return server
