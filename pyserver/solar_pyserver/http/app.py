"""The routes, the check of the API key, and errors in OpenAI's form."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable

from ..errors import ApiError, one_line, stopping
from ..metrics import Metrics
from ..server_state import ServerState
from .asgi import (
    ClientLeft,
    Message,
    Receive,
    Scope,
    Send,
    header,
    send_bytes,
    send_error,
    send_error_event,
    send_json,
)

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health"})
METHODS = "GET, HEAD, POST, OPTIONS"
log = logging.getLogger("solar_pyserver")


class App:
    """The ASGI application. The model's routes answer 503 until it is loaded."""

    def __init__(self, state: ServerState, metrics: Metrics, api_key: str | None) -> None:
        self._state = state
        self._metrics = metrics
        self._key = None if api_key is None else api_key.encode()
        self._routes: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/metrics": {"GET": self._show_metrics},
            "/v1/models": {"GET": self._models},
        }
        self._model_paths: dict[str, Handler] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    def reserve(self, path: str) -> None:
        """Declares a path of the model that is being loaded."""
        self._routes[path] = {"POST": self._run_model}

    def serve(self, handlers: dict[str, Handler]) -> None:
        """The model is loaded: its paths have their handlers."""
        self._model_paths.update(handlers)

    def close(self) -> None:
        """Ends all running requests with an error. To be called on the event loop."""
        self._closing = True
        for task in self._running:
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = 499
        stream = False
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        started = time.monotonic()

        async def tracked(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._key is not None:
                    # Without a key any page in a browser could use the model.
                    message["headers"].append((b"access-control-allow-origin", b"*"))
                stream = any(value.startswith(b"text/event-stream") for _, value in message["headers"])
            await send(message)

        try:
            await self._answer(scope, receive, tracked)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            if not self._closing:
                raise
            if status == 499:
                await send_error(tracked, stopping(self._state.error))
            elif stream:
                await send_error_event(tracked, stopping(self._state.error))
        except ApiError as error:
            await send_error(tracked, error)
        except Exception as error:
            log.exception("unexpected error on %s", scope["path"])
            if status == 499:
                await send_error(tracked, ApiError(500, f"Unexpected error: {one_line(error)}", type="server_error"))
        finally:
            self._running.discard(task)
            path = scope["path"] if scope["path"] in self._routes else "other"
            self._metrics.request(path, status, time.monotonic() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            # A browser's preflight comes without the key.
            await send_bytes(send, 204, b"", "text/plain", self._permissions(scope))
            return
        if path not in OPEN_PATHS:
            self._authenticate(scope)
        methods = self._routes.get(path)
        if methods is None and path.startswith("/v1/models/"):
            methods = {"GET": self._model}
        if methods is None:
            raise ApiError(404, f"Unknown path {path}", code="unknown_url")
        handler = methods.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(methods)
            raise ApiError(405, f"{path} takes {allowed}", code="method_not_allowed", headers={"Allow": allowed})
        await handler(scope, receive, send)

    def _permissions(self, scope: Scope) -> dict[str, str]:
        if self._key is None:
            return {"Allow": METHODS}
        wanted = header(scope, b"access-control-request-headers").decode("latin-1")
        return {
            "Allow": METHODS,
            "Access-Control-Allow-Methods": METHODS,
            # `*` would not cover Authorization.
            "Access-Control-Allow-Headers": wanted or "*",
            "Access-Control-Max-Age": "86400",
        }

    def _authenticate(self, scope: Scope) -> None:
        if self._key is None:
            return
        offered = []
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                offered.append(value)
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                offered.append(value[7:].strip())
        if not any(hmac.compare_digest(value, self._key) for value in offered):
            raise ApiError(
                401,
                "Invalid or missing API key",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _run_model(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_ready()
        await self._model_paths[scope["path"]](scope, receive, send)

    def _require_ready(self) -> None:
        if not self._state.ready:
            message = self._state.error or "The model is loading; try again soon"
            raise ApiError(503, message, type="server_error", code="model_not_ready", headers={"Retry-After": "1"})

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200 if self._state.ready else 503, self._state.health())

    async def _show_metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = self._metrics.render().encode()
        await send_bytes(send, 200, text, "text/plain; version=0.0.4; charset=utf-8")

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200, {"object": "list", "data": [self._state.card()]})

    async def _model(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix("/v1/models/")
        if name != self._state.alias:
            raise ApiError(404, f"The model {name} does not exist", param="model", code="model_not_found")
        await send_json(send, 200, self._state.card())
