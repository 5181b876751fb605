"""Clients of a bench: keep-alive connections that ask again as soon as they are answered, and one that asks /health.

Usage: load.py PORT CLIENTS SECONDS < requests.json    ([[path, body], …], taken in turn)
Prints JSON: answers, tokens, seconds, and percentiles of latency and of /health in milliseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any


async def ask(port: int, streams: Any, method: str, path: str, body: bytes) -> bytes:
    reader, writer = streams
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not lines.startswith(b"http/1.1 200"):
        raise SystemExit(f"{path} answered {lines[:60]!r}")
    length = int(lines.split(b"content-length: ")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def main(port: int, clients: int, seconds: float, requests: list[Any]) -> dict[str, float]:
    turns = itertools.cycle([(path, json.dumps(body).encode()) for path, body in requests])
    latencies: list[float] = []
    health: list[float] = []
    answers = tokens = 0
    started = time.perf_counter()
    end = started + seconds
    last = started

    async def client() -> None:
        nonlocal answers, tokens, last
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            path, body = next(turns)
            begun = time.perf_counter()
            answer = json.loads(await ask(port, streams, "POST", path, body))
            last = time.perf_counter()
            latencies.append(last - begun)
            answers += 1
            tokens += answer.get("usage", {}).get("completion_tokens", 0)
        streams[1].close()

    async def prober() -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            await ask(port, streams, "GET", "/health", b"")
            health.append(time.perf_counter() - begun)
            await asyncio.sleep(0.02)
        streams[1].close()

    await asyncio.gather(prober(), *(client() for _ in range(clients)))

    def percentile(values: list[float], share: float) -> float:
        return round(sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000, 2)

    return {
        "answers": answers,
        "tokens": tokens,
        "seconds": last - started,
        "p50_ms": percentile(latencies, 0.5),
        "p99_ms": percentile(latencies, 0.99),
        "health_p99_ms": percentile(health, 0.99),
    }


if __name__ == "__main__":
    arguments = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(asyncio.run(main(*arguments, json.load(sys.stdin)))))
