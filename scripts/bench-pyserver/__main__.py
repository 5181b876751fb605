"""Measures solar-pyserver against the simplest correct server, in turns, on models made here.

    python scripts/bench-pyserver [--seconds 2] [--rounds 9] [--only generation|classification|memory|start]

Run it with the Python of a virtual environment that has pyserver's development requirements. Each round runs the
simple server and ours one after the other; the ratio printed is the median of the rounds' ratios. A line of a figure
that misses its aim begins with MISS, and the bench then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What /health may take at the 99th percentile while the model works, in milliseconds.
HEALTH_AIM_MS = 100
# What a thousand requests may leave in memory after the first ones, in MiB.
GROWTH_AIM_MIB = 10

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "pyserver"), str(ROOT / "test" / "pyserver")]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "pyserver"), "HF_HUB_OFFLINE": "1"}


missed: list[str] = []


def report(title: str, text: str, reached: bool) -> None:
    if not reached:
        missed.append(title)
    print(f"{'ok  ' if reached else 'MISS'} {title:<44} {text}", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process, ready to answer. Its output is kept for the lines that it prints."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, *(part.replace("PORT", str(self.port)) for part in arguments)]
        started = time.perf_counter()
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=self.log)
        while not self._answers():
            if self.process.poll() is not None:
                raise SystemExit(f"{command} ended with {self.process.returncode}")
            time.sleep(0.02)
        self.ready_s = time.perf_counter() - started

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def memory_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def load(self, clients: int, seconds: float, requests: list[Any]) -> dict[str, float]:
        command = [sys.executable, str(HERE / "load.py"), str(self.port), str(clients), str(seconds)]
        run = subprocess.run(command, input=json.dumps(requests), text=True, capture_output=True)
        if run.returncode:
            raise SystemExit(run.stderr)
        result: dict[str, float] = json.loads(run.stdout)
        return result

    def lines(self) -> list[str]:
        self.log.seek(0)
        return self.log.read().splitlines()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Forward:
    """The process of forward passes alone; it works only while it is asked to."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        command = [sys.executable, str(HERE / "forward.py"), str(folder)]
        self.process = subprocess.Popen(
            command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._ask(json.dumps(texts)) == "ready"

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def run(self, seconds: float) -> float:
        return float(self._ask(str(seconds)))

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def simple(task: str, folder: Path) -> Server:
    return Server(str(HERE / "baseline.py"), task, str(folder), "PORT")


def ours(task: str, folder: Path) -> Server:
    return Server("-m", "solar_pyserver", task, "--model", str(folder), "--alias", "bench", "--port", "PORT")


def compare(
    title: str,
    unit: str,
    clients: int,
    requests: list[Any],
    servers: tuple[Server, Server],
    options: Any,
    target: float,
) -> None:
    ratios, speeds, health = [], [], []
    for _ in range(options.rounds):
        rates = []
        for server in servers:
            result = server.load(clients, options.seconds, requests)
            rates.append(result["tokens" if unit == "tok/s" else "answers"] / result["seconds"])
        ratios.append(rates[1] / rates[0])
        speeds.append(rates)
        health.append(result["health_p99_ms"])
    base, own = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(ratios)
    text = f"simple {base:8.1f} {unit}  ours {own:8.1f} {unit}  ratio {ratio:5.2f} (at least {target})"
    report(title, text, ratio >= target)
    report_health(title, health)


def report_health(title: str, p99_ms: list[float]) -> None:
    worst = max(p99_ms)
    report(f"/health, {title}", f"p99 {worst:.1f} ms (under {HEALTH_AIM_MS})", worst < HEALTH_AIM_MS)


def generation(folder: Path, options: Any) -> None:
    servers = simple("causal", folder), ours("causal", folder)
    prompts = ["The sun rises over the quiet harbour", "A small model learns a few words", "What is the weather like?"]
    requests = [
        ["/v1/completions", {"prompt": prompt, "max_tokens": 64, "temperature": 0, "ignore_eos": True}]
        for prompt in prompts
    ]
    try:
        compare("generation, 1 client", "tok/s", 1, requests, servers, options, 1.2)
        compare("generation, 16 clients", "tok/s", 16, requests, servers, options, 4.0)
    finally:
        for server in servers:
            server.stop()


def texts(low: int, high: int) -> list[str]:
    from tiny_models import LINES

    words = " ".join(LINES).split()
    chance = random.Random(5)
    return [" ".join(chance.choices(words, k=chance.randint(low, high))) for _ in range(512)]


def classification(folder: Path, options: Any) -> None:
    servers = simple("classification", folder), ours("classification", folder)
    try:
        short = [["/v1/classify", {"model": "bench", "input": text}] for text in texts(2, 25)]
        compare("classification, 32 clients, 2-25 words", "req/s", 32, short, servers, options, 4.0)
        long = texts(2, 200)
        requests = [["/v1/classify", {"model": "bench", "input": text}] for text in long]
        forward = Forward(folder, long)
        ratios = []
        for _ in range(options.rounds):
            alone = forward.run(options.seconds)
            result = servers[1].load(32, options.seconds, requests)
            ratios.append((result["answers"] / result["seconds"] / alone, alone, result["health_p99_ms"]))
        forward.stop()
        ratio, alone, _ = sorted(ratios)[len(ratios) // 2]
        title = "classification, 32 clients, up to 200 words"
        text = f"forward passes alone {alone:8.1f} req/s  ours {ratio * alone:8.1f} req/s"
        report(title, f"{text}  ratio {ratio:5.2f} (at least 0.9)", ratio >= 0.9)
        report_health(title, [item[2] for item in ratios])
    finally:
        for server in servers:
            server.stop()


def memory(causal: Path, classifier: Path, options: Any) -> None:
    bodies: dict[str, Callable[[int], Any]] = {
        "causal": lambda at: ["/v1/completions", {"prompt": "The sun " * (at % 40 + 1), "max_tokens": 8}],
        "classification": lambda at: ["/v1/classify", {"input": "good bad " * (at % 60 + 1)}],
    }
    for task, folder in (("causal", causal), ("classification", classifier)):
        server = ours(task, folder)
        requests = [bodies[task](at) for at in range(200)]
        try:
            seen = []
            asked = 0.0
            while asked < 1500:
                asked += server.load(16, 1.0, requests)["answers"]
                seen.append((int(asked), round(server.memory_mib(), 1)))
            warm = [size for count, size in seen if count >= 400]
            shown = "  ".join(f"{count}: {size}" for count, size in (seen[0], seen[len(seen) // 2], seen[-1]))
            growth = warm[-1] - warm[0]
            text = f"MiB after requests  {shown}  growth after warm-up {growth:+.1f} MiB (under {GROWTH_AIM_MIB})"
            report(f"memory, {task}", text, growth < GROWTH_AIM_MIB)
        finally:
            server.stop()


def start(causal: Path, options: Any) -> None:
    for _ in range(options.rounds):
        server = ours("causal", causal)
        stages = {}
        for line in server.lines():
            if match := re.search(r"ready .*load_s=(\S+)", line):
                stages["ready"] = match[1]
        server.stop()
        print(f"start: /health 200 after {server.ready_s:.2f} s, of which after bind {stages['ready']} s")
    for name in ("torch", "transformers", "solar_pyserver.server"):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {name}"], env=ENVIRONMENT, check=True)
        print(f"start: python -c 'import {name}' {time.perf_counter() - begun:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load in each measurement")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("generation", "classification", "memory", "start"))
    options = parser.parse_args()
    from tiny_models import make_bert, make_llama

    with tempfile.TemporaryDirectory() as folder:
        causal = make_llama(Path(folder) / "llama", layers=4, size=256, context=2048)
        classifier = make_bert(Path(folder) / "bert", layers=4, size=128)
        if options.only in (None, "generation"):
            generation(causal, options)
        if options.only in (None, "classification"):
            classification(classifier, options)
        if options.only in (None, "memory"):
            memory(causal, classifier, options)
        if options.only in (None, "start"):
            start(causal, options)
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
