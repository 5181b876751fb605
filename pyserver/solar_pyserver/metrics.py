"""Numbers for Prometheus, in its text format."""

from __future__ import annotations

import threading
from collections import Counter


class Metrics:
    """The worker's thread writes the plain numbers. The event loop counts the requests."""

    def __init__(self) -> None:
        self.ready = False
        self.waiting = 0
        self.running = 0
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.batches = 0
        self.kv_cells = 0
        self.kv_budget = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[path] += seconds  # type: ignore[assignment]

    def render(self) -> str:
        """All numbers in Prometheus' text format."""
        lines: list[str] = []

        def add(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
            lines.append(f"# HELP solar_{name} {text}")
            lines.append(f"# TYPE solar_{name} {kind}")
            lines.extend(f"solar_{name}{labels} {value:.10g}" for labels, value in samples)

        with self._lock:
            requests = [
                (f'{{path="{path}",status="{status}"}}', float(count))
                for (path, status), count in sorted(self._requests.items())
            ]
            seconds = [(f'{{path="{path}"}}', float(value)) for path, value in sorted(self._seconds.items())]
        add("ready", "gauge", "1 once the model can answer", [("", float(self.ready))])
        add("requests_total", "counter", "HTTP requests answered", requests)
        add("request_seconds_total", "counter", "Seconds spent on answered requests", seconds)
        add("prompt_tokens_total", "counter", "Prompt tokens taken in", [("", self.prompt_tokens)])
        add("generated_tokens_total", "counter", "Tokens decoded", [("", self.generated_tokens)])
        add("batches_total", "counter", "Forward passes over a batch", [("", self.batches)])
        add("running", "gauge", "Rows or requests that the model works on", [("", self.running)])
        add("waiting", "gauge", "Rows or requests that wait for the model", [("", self.waiting)])
        add("kv_cells", "gauge", "KV cache in use, rows x longest, in tokens", [("", self.kv_cells)])
        add("kv_budget_cells", "gauge", "KV cache allowed, in tokens", [("", self.kv_budget)])
        return "\n".join(lines) + "\n"
