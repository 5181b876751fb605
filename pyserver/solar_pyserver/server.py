"""The process: it binds first, loads in a thread, serves, and stops within a time limit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from .configuration import Settings
from .errors import ExitCode, StartupError, one_line
from .events import EventLog, Throttle
from .http.app import App
from .metrics import Metrics
from .server_state import ServerState

if TYPE_CHECKING:
    from .classification_worker import ClassificationWorker
    from .generation_worker import GenerationWorker

KEEP_ALIVE_S = 75
# Seconds for the last error to reach its client after the deadline. Then uvicorn drops the connection.
LAST_WORDS_S = 0.5
PATHS = {"causal": ("/v1/chat/completions", "/v1/completions"), "classification": ("/v1/classify",)}


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `StartupError` with PORT where the port is busy or the address cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        # Python's codec raises UnicodeError for a name with a part of more than 63 characters.
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the port is busy" if busy else one_line(error)
        raise StartupError(ExitCode.PORT, f"cannot listen on {host}:{port}: {why}") from error
    return listener


class _QuietServer(uvicorn.Server):
    """uvicorn raises the signal again after its shutdown and dies of it. Here the exit code is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Process:
    """One server, from its socket to its exit code."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._events = EventLog()
        self._metrics = Metrics()
        self._state = ServerState(settings.alias)
        self._app = App(self._state, self._metrics, settings.api_key)
        for path in PATHS[settings.task]:
            self._app.reserve(path)
        self._worker: GenerationWorker | ClassificationWorker | None = None
        self._code = ExitCode.OK
        self._started = time.monotonic()
        self._stopping = False
        self._stage = ""
        self._throttle = Throttle()

    def run(self) -> ExitCode:
        """Serves until the end, and gives the exit code."""
        asyncio.run(self._serve())
        if self._worker is not None:
            # The process ends in any case: a long step is not waited for.
            self._worker.stop(timeout_s=0.5)
        self._events.emit("stopped")
        return self._code

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = _QuietServer(
            uvicorn.Config(
                cast(Any, self._app),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=cast(int, self._settings.shutdown_timeout + LAST_WORDS_S),
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._loop.add_signal_handler(number, self._stop)
            except NotImplementedError:
                signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._stop))
        threading.Thread(target=self._load, name="loader", daemon=True).start()
        await self._server.serve(sockets=[self._listener])

    def _stop(self, code: ExitCode = ExitCode.OK) -> None:
        """The first call lets running requests finish within the time limit. A second call does not wait."""
        if self._stopping:
            self._app.close()
            self._server.force_exit = True
            return
        self._stopping = True
        self._code = code
        self._events.emit("stopping")
        self._server.should_exit = True
        # After a failure no running request would ever finish.
        self._loop.call_later(self._settings.shutdown_timeout if code is ExitCode.OK else 0, self._app.close)

    def _load(self) -> None:
        """Runs in its own thread; the event loop answers /health meanwhile."""
        # Importing makes a million objects that stay. The collector would take a second to look through them.
        gc.disable()
        try:
            from .loading import load

            loaded = load(self._settings, self._progress)
            # These import torch, which must not delay the first answer.
            from . import service
            from .worker import ServerHooks

            hooks = ServerHooks(self._events, self._metrics, self._to_loop, self._lost)
            build = service.build_causal if self._settings.task == "causal" else service.build_classification
            built = build(self._settings, loaded, hooks)
            for notice in filter(None, (loaded.notice, service.untried_release())):
                self._events.notice(notice)
        except StartupError as error:
            self._fail(error.code, str(error))
            return
        except ImportError as error:
            from .loading import missing_module

            self._fail(ExitCode.MISSING_MODULE, str(missing_module(error)))
            return
        except Exception as error:
            self._fail(ExitCode.MODEL, f"model {self._settings.model} does not run: {one_line(error)}")
            return
        self._worker = built.worker
        built.worker.start()
        self._app.serve(built.handlers)
        # The collector works from here on, without the objects that stay.
        gc.collect()
        gc.freeze()
        gc.enable()
        self._state.set_ready(built.facts)
        self._metrics.ready = True
        self._events.emit("loading", stage="ready-check", progress=1.0)
        self._events.emit(
            "ready",
            device=loaded.device,
            dtype=loaded.dtype,
            attention=loaded.attention,
            model_type=self._settings.task,
            architecture=loaded.model_type,
            load_s=time.monotonic() - self._started,
        )

    def _progress(self, stage: str, progress: float) -> None:
        """Reports a new stage at once, and progress within a stage (0 to 1) now and then."""
        if stage != self._stage or self._throttle.ready():
            self._stage = stage
            self._events.emit("loading", stage=stage, progress=progress)

    def _fail(self, code: ExitCode, message: str) -> None:
        """Ends the process with `code`. The message goes to stderr for people and to stdout for the manager."""
        self._state.error = message
        self._metrics.ready = False
        self._events.error(message)
        complain(message)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop, code)

    def _lost(self, message: str) -> None:
        self._fail(ExitCode.UNEXPECTED, message)

    def _to_loop(self, calls: Sequence[Callable[[], object]]) -> None:
        def run() -> None:
            for call in calls:
                call()

        # The loop is gone when the process is ending.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(run)


def complain(message: str) -> None:
    """Says an error to people, on stderr."""
    print(f"solar-pyserver: error: {message}", file=sys.stderr, flush=True)


def run(settings: Settings) -> ExitCode:
    """Serves until a signal. Raises `StartupError` where the address cannot be bound."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    return Process(settings, bind(settings.host, settings.port)).run()
