"""A real `python -m solar_pyserver`, its lines as they come, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2] / "pyserver"
PATHS = [str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
PATIENCE_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer of `condition`; it is asked again until then."""
    end = time.monotonic() + patience_s
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s} s in vain for {what}")
        time.sleep(0.01)
    return answer


class ServerProcess:
    def __init__(self, *arguments: str, key: str | None = None, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        self.key = key
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS), **environment}
        if key is not None:
            environ["SOLAR_PYSERVER_API_KEY"] = key
        self.arguments = [*arguments, "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "solar_pyserver", *self.arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def events(self, name: str) -> list[dict[str, str]]:
        """The fields of all events of a name, in order."""
        found = []
        for line in list(self.lines):
            if line.startswith(f"solar: {name} ") or line == f"solar: {name}":
                found.append(dict(field.split("=", 1) for field in line.split()[2:] if "=" in field))
        return found

    def wait_event(self, name: str, count: int = 1) -> list[dict[str, str]]:
        found: list[dict[str, str]] = wait_for(
            lambda: seen if len(seen := self.events(name)) >= count else None, f"{count} {name} events"
        )
        return found

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.errors
            return bool(self.events("ready"))

        wait_for(ready, "a ready server")

    def wait_exit(self) -> int:
        code = self.process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(10)
        return code

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers, with this server's key unless headers are given."""
        connection = self.connect()
        if headers is None:
            headers = {"X-API-Key": self.key} if self.key else {}
        data = body if isinstance(body, bytes | str | None) else json.dumps(body)
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        kind = answer.headers.get("content-type", "")
        content = None if method == "HEAD" else json.loads(raw) if kind.startswith("application/json") else raw.decode()
        return answer.status, content, {name.lower(): value for name, value in answer.headers.items()}

    def metric(self, name: str) -> float:
        text = self.request("GET", "/metrics")[1]
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"solar_{name} ")))
