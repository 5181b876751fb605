"""The process as the manager sees it: starting, failing with a code and a line, telling, stopping."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server_process import PACKAGE, ServerProcess, free_port, wait_for
from tiny_models import make_llama

Start = Callable[..., ServerProcess]


def test_help_shows_examples_and_exit_codes_without_importing_torch() -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from solar_pyserver.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('imported', [name for name in ('torch', 'transformers', 'uvicorn', 'pydantic') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE, capture_output=True, text=True, check=True)
    assert "python -m solar_pyserver causal --model" in run.stdout
    assert "3  a Python module is missing" in run.stdout
    assert run.stdout.rstrip().endswith("imported []")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["causal"], 2, "--model"),
        (["causal", "--model", "m", "--dtype", "int4"], 2, "--dtype"),
        (["causal", "--model", "m", "--max-length", "0"], 2, "--max-length"),
        (["causal", "--model", "m", "--mod", "x"], 2, "--mod"),
        (["causal", "--model", "m", "--api-key-file", "/nonexistent/key"], 2, "/nonexistent/key"),
        (["causal", "--model", "m", "--host", "a" * 70 + ".example"], 5, "aaa.example"),
        (["classification", "--model", "m", "--labels", "negative,positive"], 6, "--labels"),
        (["classification", "--model", "m", "--labels", '["a", "a"]'], 6, "twice"),
    ],
)
def test_a_bad_command_line_ends_with_its_code_and_one_line(
    start_server: Start, arguments: list[str], code: int, words: str
) -> None:
    server = start_server(*arguments)
    assert server.wait_exit() == code
    [line] = server.errors
    assert line.startswith("solar-pyserver: error: ")
    assert words in line
    assert not server.lines


def test_a_value_that_begins_with_a_dash_is_no_flag() -> None:
    from solar_pyserver.configuration import parse

    settings = parse(["causal", "--model=m", "--alias=--trust-remote-code", "--host=-x"], {})
    assert settings.alias == "--trust-remote-code"
    assert settings.host == "-x"
    assert settings.trust_remote_code is False


def test_the_key_comes_from_the_environment_or_a_file_and_is_not_shown(tmp_path: Path) -> None:
    from solar_pyserver.configuration import KEY_VARIABLE, parse

    file = tmp_path / "key"
    file.write_text("from-file\n")
    environ = {KEY_VARIABLE: "from-environment"}
    assert parse(["causal", "--model=m"], environ).api_key == "from-environment"
    from_file = parse(["causal", "--model=m", "--api-key-file", str(file)], environ)
    assert from_file.api_key == "from-file"
    assert "from-file" not in repr(from_file)
    assert parse(["causal", "--model=m"], {}).api_key is None


def test_the_key_is_taken_out_of_the_environment_before_a_models_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from solar_pyserver import __main__
    from solar_pyserver.configuration import KEY_VARIABLE
    from solar_pyserver.errors import ExitCode, StartupError

    seen: list[bool] = []

    def stop() -> None:
        seen.append(KEY_VARIABLE in os.environ)
        raise StartupError(ExitCode.MISSING_MODULE, "far enough")

    monkeypatch.setenv(KEY_VARIABLE, "secret")
    monkeypatch.setattr(__main__, "require_modules", stop)
    assert __main__.main(["causal", "--model", "m"]) == 3
    assert seen == [False]


def test_loading_tells_how_much_of_the_weights_is_there(llama_folder: Path) -> None:
    code = (
        "import sys\n"
        "from solar_pyserver.configuration import parse\n"
        "from solar_pyserver.loading import load\n"
        "load(parse(['causal', '--model', sys.argv[1]]), lambda stage, progress: print(stage, round(progress, 3)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(llama_folder)], cwd=PACKAGE, capture_output=True, text=True, check=True
    )
    told = [line.split() for line in run.stdout.splitlines()]
    weights = [float(progress) for stage, progress in told if stage == "weights"]
    # One at the start of the stage, then one for each tensor.
    assert len(weights) > 10
    assert weights == sorted(weights)
    assert (weights[0], weights[-1]) == (0.3, 0.9)


def test_a_key_that_is_no_text_ends_with_one_line(start_server: Start) -> None:
    server = start_server("causal", "--model", "m", key=os.fsdecode(b"\xff\xfe"))
    assert server.wait_exit() == 2
    [line] = server.errors
    assert "SOLAR_PYSERVER_API_KEY" in line


def test_a_busy_port_ends_with_its_code_at_once(start_server: Start, llama_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = start_server("causal", "--model", str(llama_folder), port=taken.getsockname()[1])
        assert server.wait_exit() == 5
    assert "busy" in server.errors[-1]
    assert len(server.errors) == 1


def test_an_address_that_is_not_ours_ends_with_the_same_code(start_server: Start) -> None:
    server = start_server("causal", "--model", "m", "--host", "203.0.113.7")
    assert server.wait_exit() == 5
    assert "203.0.113.7" in server.errors[-1]


def test_a_missing_module_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    # a Python without site-packages has none of them
    run = subprocess.run(
        [sys.executable, "-S", "-m", "solar_pyserver", "causal", "--model", "m"],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        env={"PATH": "", "PYTHONPATH": ""},
        check=False,
    )
    assert run.returncode == 3
    assert run.stderr.count("\n") == 1
    assert "torch, transformers, uvicorn, pydantic" in run.stderr
    assert "-m pip install torch transformers uvicorn pydantic" in run.stderr


def test_a_module_that_the_model_needs_is_named(start_server: Start, llama_folder: Path, tmp_path: Path) -> None:
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text("import sentencepiece_of_a_model\n")
    server = start_server("causal", "--model", str(llama_folder), PYTHONPATH=f"{tmp_path}:{PACKAGE}")
    assert server.wait_exit() == 3
    assert "-m pip install sentencepiece_of_a_model" in server.errors[-1]


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("absent", 7, "there is no such folder"),
        ("empty", 7, "the folder has no config.json"),
        ("file", 7, "it is a file, and a model is a folder"),
        ("broken", 4, ""),
        ("other", 4, ""),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_with_its_code_and_one_line(
    start_server: Start, tmp_path: Path, bert_folder: Path, kind: str, code: int, words: str
) -> None:
    folder = tmp_path / kind
    if kind in ("empty", "broken"):
        folder.mkdir()
    if kind == "file":
        folder.write_bytes(b"GGUF")
    if kind == "broken":
        make_llama(folder)
        (folder / "model.safetensors").write_bytes(b"not weights")
    if kind == "other":
        folder = bert_folder
    server = start_server("causal", "--model", str(folder), "--alias", "x")
    assert server.wait_exit() == code
    errors = [line for line in server.errors if "solar-pyserver: error" in line]
    assert len(errors) == 1
    assert str(folder) in errors[0]
    assert words in errors[0]
    assert "Traceback" not in "".join(server.errors)
    assert [line for line in server.lines if line.startswith("solar: error message=")]
    assert server.lines[-1] == "solar: stopped"


def test_a_module_that_transformers_names_in_its_text_is_named_too() -> None:
    from solar_pyserver.errors import ExitCode
    from solar_pyserver.loading import missing_module

    error = missing_module(ImportError("LlamaTokenizer requires the SentencePiece library but it was not found"))
    assert error.code is ExitCode.MISSING_MODULE
    assert "pip install SentencePiece" in str(error)


def test_an_absent_device_ends_with_a_line_that_says_so(start_server: Start, llama_folder: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    server = start_server("causal", "--model", str(llama_folder), "--device", "cuda")
    assert server.wait_exit() == 2
    assert "CUDA" in server.errors[-1]


def test_health_is_503_and_loading_from_the_first_moment_until_the_model_answers(
    start_server: Start, llama_folder: Path
) -> None:
    server = start_server("causal", "--model", str(llama_folder), "--alias", "a")
    seen: list[tuple[int, str]] = []

    def probe() -> bool:
        try:
            status, body, _ = server.request("GET", "/health")
        except OSError:
            return False
        seen.append((status, body["status"]))
        if status == 503 and len(seen) == 1:
            code, answer, headers = server.request("POST", "/v1/completions", {"prompt": "x"})
            assert (code, answer["error"]["code"]) == (503, "model_not_ready")
            assert headers["retry-after"]
        return status == 200

    wait_for(probe, "a ready server")
    assert seen[0] == (503, "loading")
    assert seen[-1] == (200, "healthy")
    assert server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 1})[0] == 200
    stages = [event["stage"] for event in server.events("loading")]
    order = ["import", "config", "tokenizer", "weights", "ready-check"]
    assert sorted(set(stages), key=order.index) == order
    progress = [float(event["progress"]) for event in server.events("loading")]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert float(server.events("ready")[0]["load_s"]) > 0


def test_events_pair_up_and_hold_no_prompt(causal: ServerProcess) -> None:
    before = len(causal.events("request-end"))
    body = {"prompt": "my secret harbour", "max_tokens": 5, "temperature": 0, "ignore_eos": True}
    causal.request("POST", "/v1/completions", body)
    end = causal.wait_event("request-end", before + 1)[-1]
    start = causal.events("request-start")[-1]
    assert start["task"] == end["task"]
    assert start["slot"] == end["slot"] == "0"
    assert start["kind"] == "completion"
    assert (end["generated"], end["reason"]) == ("5", "length")
    assert start["prompt_tokens"] == end["prompt_tokens"]
    assert float(end["tps"]) > 0
    assert not [line for line in causal.lines if "harbour" in line]


def test_health_answers_while_the_model_works(start_server: Start, tmp_path: Path) -> None:
    """How quickly is measured by scripts/bench-pyserver."""
    folder = make_llama(tmp_path / "long", context=100_000)
    server = start_server("causal", "--model", str(folder), "--alias", "a", "--max-length", "100000")
    server.wait_ready()
    connection = server.connect()
    body = {"prompt": "x", "max_tokens": 90_000, "ignore_eos": True, "n": 8}
    connection.request("POST", "/v1/completions", json.dumps(body))
    server.wait_event("request-start", 8)
    for _ in range(20):
        assert server.request("GET", "/health")[0] == 200
    assert server.metric("running") == 8
    assert not server.events("request-end")
    connection.close()
    server.wait_event("request-end", 8)


def test_a_full_queue_answers_429_with_a_time_to_wait(start_server: Start, llama_folder: Path) -> None:
    server = start_server(
        "causal", "--model", str(llama_folder), "--alias", "a", "--max-queue", "1", "--max-batch", "1"
    )
    server.wait_ready()
    body = json.dumps({"prompt": "The sun", "max_tokens": 500, "ignore_eos": True})
    open_connections = []
    for waiting in (0, 1):
        connection = server.connect()
        connection.request("POST", "/v1/completions", body)
        open_connections.append(connection)
        wait_for(lambda waiting=waiting: server.metric("waiting") == waiting and server.metric("running") == 1, "work")
    status, answer, headers = server.request("POST", "/v1/completions", body)
    assert status == 429
    assert answer["error"]["code"] == "queue_full"
    assert int(headers["retry-after"]) >= 1
    assert [connection.getresponse().status for connection in open_connections] == [200, 200]


def test_sigterm_finishes_what_runs_and_exits_0(start_server: Start, llama_folder: Path) -> None:
    server = start_server("causal", "--model", str(llama_folder), "--alias", "a")
    server.wait_ready()
    connection = server.connect()
    body = {"prompt": "The sun", "max_tokens": 300, "ignore_eos": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    server.wait_event("request-start")
    server.terminate()
    server.wait_event("stopping")

    def refused() -> bool:
        try:
            server.connect().connect()
        except ConnectionError:
            return True
        return False

    wait_for(refused, "new connections to be refused")
    answer = json.loads(connection.getresponse().read())
    assert answer["usage"]["completion_tokens"] == 300
    assert server.wait_exit() == 0
    assert server.lines[-1] == "solar: stopped"
    assert server.events("request-end")[-1]["reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_ends_what_runs_longer_than_the_deadline_tells_its_client_and_exits_0(
    start_server: Start, tmp_path: Path, stream: bool
) -> None:
    folder = make_llama(tmp_path / "long", context=100_000)
    server = start_server(
        "causal", "--model", str(folder), "--alias", "a", "--max-length", "100000", "--shutdown-timeout", "0.5"
    )
    server.wait_ready()
    connection = server.connect()
    body = {"prompt": "x", "max_tokens": 90_000, "ignore_eos": True, "stream": stream, "n": 2}
    connection.request("POST", "/v1/completions", json.dumps(body))
    server.wait_event("generating")
    server.terminate()
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == (200 if stream else 503)
    last = text.strip().split("\n\n")[-1].removeprefix("data: ")
    assert json.loads(last)["error"]["code"] == "stopping"
    assert server.wait_exit() == 0
    assert [end["reason"] for end in server.events("request-end")] == ["cancelled", "cancelled"]
    assert server.lines[-1] == "solar: stopped"
    assert server.errors == []


def test_a_second_sigterm_does_not_wait(start_server: Start, tmp_path: Path) -> None:
    folder = make_llama(tmp_path / "long", context=100_000)
    server = start_server(
        "causal", "--model", str(folder), "--alias", "a", "--max-length", "100000", "--shutdown-timeout", "10000"
    )
    server.wait_ready()
    connection = server.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x", "max_tokens": 90_000, "ignore_eos": True}))
    server.wait_event("generating")
    server.terminate()
    server.wait_event("stopping")
    server.terminate()
    assert connection.getresponse().status == 503
    assert server.wait_exit() == 0
    assert server.errors == []


def test_sigterm_does_not_wait_for_a_text_that_is_being_tokenised(start_server: Start, tmp_path: Path) -> None:
    # A tokenizer that hangs stands for a very long text.
    package = tmp_path / "sitecustomize.py"
    package.write_text(
        "import threading\n"
        "from solar_pyserver import tokenizing\n"
        "encode = tokenizing.TextTokenizer.encode\n"
        "def hang(self, text):\n"
        "    if len(text) > 50_000:\n"
        "        print('hanging', flush=True)\n"
        "        threading.Event().wait()\n"
        "    return encode(self, text)\n"
        "tokenizing.TextTokenizer.encode = hang\n"
    )
    folder = make_llama(tmp_path / "model")
    server = start_server(
        *("causal", "--model", str(folder), "--shutdown-timeout", "0.5"), PYTHONPATH=f"{tmp_path}:{PACKAGE}"
    )
    server.wait_ready()
    connection = server.connect()
    connection.request("POST", "/v1/completions", json.dumps({"prompt": "x" * 60_000}))
    wait_for(lambda: "hanging" in server.lines, "the tokenizer")
    server.terminate()
    assert connection.getresponse().status == 503
    assert server.wait_exit() == 0
    assert server.errors == []


def test_sigterm_while_loading_exits_0(start_server: Start, llama_folder: Path) -> None:
    server = start_server("causal", "--model", str(llama_folder))
    server.wait_event("loading")
    server.terminate()
    assert server.wait_exit() == 0
    assert server.lines[-1] == "solar: stopped"


def test_a_reader_of_stdout_that_goes_away_does_not_stop_the_server(llama_folder: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "solar_pyserver", "causal", "--model", str(llama_folder), "--port", str(port)],
        cwd=PACKAGE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    def ready() -> bool:
        import urllib.request

        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_for(ready, "a ready server")
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_a_model_with_a_sliding_window_is_served_one_row_at_a_time(start_server: Start, mistral_folder: Path) -> None:
    server = start_server("causal", "--model", str(mistral_folder), "--alias", "m")
    server.wait_ready()
    batching = server.request("GET", "/health")[1]["batching"]
    why = batching.removeprefix("one at a time: ")
    assert "DynamicSlidingWindowLayer" in why
    assert f"solar: notice message=requests are not batched but run one at a time: {why}" in server.lines
    body: dict[str, Any] = {"prompt": "The sun", "max_tokens": 30, "temperature": 0, "ignore_eos": True}
    plain = server.request("POST", "/v1/completions", body)[1]
    assert plain["usage"]["completion_tokens"] == 30
    text = server.request("POST", "/v1/completions", {**body, "stream": True})[1]
    chunks = [json.loads(event[6:]) for event in text.strip().split("\n\n")[:-1]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == plain["choices"][0]["text"]


def test_a_model_without_a_chat_template_says_so(start_server: Start, tmp_path: Path) -> None:
    folder = make_llama(tmp_path / "plain", template=None)
    server = start_server("causal", "--model", str(folder), "--alias", "p")
    server.wait_ready()
    status, answer, _ = server.request("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
    assert status == 400
    assert answer["error"]["code"] == "no_chat_template"
    assert server.request("POST", "/v1/completions", {"prompt": "x"})[0] == 200


def test_memory_is_flat_over_a_thousand_requests(causal: ServerProcess) -> None:
    def resident_kib() -> int:
        status = Path(f"/proc/{causal.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    connection = causal.connect()

    def ask(count: int) -> None:
        for at in range(count):
            body = {"prompt": "The sun " * (at % 30 + 1), "max_tokens": 2, "stream": at % 2 == 0, "logprobs": 2}
            connection.request("POST", "/v1/completions", json.dumps(body), {"X-API-Key": "secret"})
            assert connection.getresponse().read()

    ask(300)
    before = resident_kib()
    ask(1000)
    assert resident_kib() - before < 6 * 1024
