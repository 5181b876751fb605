"""What a service needs of its model before it says that it is ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from solar_pyserver.configuration import parse
from solar_pyserver.events import EventLog
from solar_pyserver.loading import load
from solar_pyserver.metrics import Metrics
from solar_pyserver.service import build_causal, build_classification
from solar_pyserver.worker import ServerHooks


@pytest.mark.parametrize("threads", ["1", ""])
@pytest.mark.parametrize("task", ["causal", "classification"])
def test_a_model_that_fails_at_each_pass_ends_the_start(
    task: str, threads: str, llama_folder: Path, bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    settings = parse([task, "--model", str(llama_folder if task == "causal" else bert_folder), "--device", "cpu"])
    loaded = load(settings, lambda stage, progress: None)

    def fail(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("broken kernel")

    loaded.model.forward = fail
    build: Callable[..., Any] = build_causal if task == "causal" else build_classification
    with pytest.raises(RuntimeError, match="broken kernel"):
        build(settings, loaded, ServerHooks(EventLog(), Metrics(), lambda calls: None, lambda message: None))
