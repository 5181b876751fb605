"""ASGI in a few calls: read a body, send an answer, notice that the client has left."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import ApiError
from ..json_lines import json_line

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Result = TypeVar("Result")

# Bodies up to this size are read and tokenised on the event loop; for longer ones it must not wait.
INLINE_BYTES = 20_000
# Not the event loop's own executor: the end of the process would wait for its threads.
_helpers = ThreadPoolExecutor(2, thread_name_prefix="helper")

MAX_BODY_BYTES = 16 * 1024 * 1024


class ClientLeft(Exception):
    """The client has closed its connection. No answer can reach it."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The body, unpacked. Raises the 413 over the limit, the 415 for an encoding that is not read, and `ClientLeft`."""
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
        raise ApiError(
            415,
            f"Content-Encoding {encoding.decode('latin-1')} is not read by this server: send the body plain or as gzip",
            code="unsupported_content_encoding",
            headers={"Accept-Encoding": "gzip, identity"},
        )
    raw = await _receive_body(receive)
    if encoding not in (b"gzip", b"x-gzip"):
        return raw
    # A few bytes may become megabytes, so this is long.
    return await off_loop(True, lambda: unpack(raw))


def unpack(raw: bytes) -> bytes:
    """Unpacks gzip of one or several members. Raises the 400 for broken data and the 413 over the limit of a body."""
    body = b""
    while raw or not body:
        member = zlib.decompressobj(wbits=31)
        try:
            body += member.decompress(raw, MAX_BODY_BYTES + 1 - len(body))
        except zlib.error as error:
            raise ApiError(400, "The body is not gzip, as its Content-Encoding says") from error
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        if not member.eof:
            raise ApiError(400, "The body is gzip that ends before its end")
        raw = member.unused_data
        if not body and not raw:
            break
    return body


def header(scope: Scope, name: bytes) -> bytes:
    """The value of the first header of that name, which is in lower case. Empty where there is none."""
    return next((value for key, value in scope.get("headers", ()) if key == name), b"")


def _too_large() -> ApiError:
    return ApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes")


async def _receive_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def off_loop(long: bool, work: Callable[[], Result]) -> Result:
    """The result of `work`. Long work is done in another thread, so that the event loop goes on."""
    if not long:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_helpers, work)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`. Raises `ClientLeft` as soon as the client leaves; the work is cancelled then.

    To be called after the body has been read: `receive` has nothing but the disconnect left to say. The work runs in
    the caller's task, for a second task for each request costs more than all else here.
    """
    caller = asyncio.current_task()
    assert caller is not None
    left = False

    def leave(gone: asyncio.Task[None]) -> None:
        nonlocal left
        if not gone.cancelled():
            left = True
            caller.cancel()

    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if left:
            raise ClientLeft from None
        raise
    finally:
        gone.remove_done_callback(leave)
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, status: int, body: object, headers: dict[str, str] | None = None) -> None:
    """Sends a whole answer. Raises ValueError for numbers that JSON does not have."""
    # NaN is no JSON.
    data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    await send_bytes(send, status, data, "application/json", headers)


async def send_bytes(
    send: Send, status: int, data: bytes, content_type: str, headers: dict[str, str] | None = None
) -> None:
    """Sends a whole answer of data that is ready."""
    lines = [(b"content-type", content_type.encode()), (b"content-length", str(len(data)).encode())]
    lines += [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": data})


async def send_error(send: Send, error: ApiError) -> None:
    """Sends the error as OpenAI's object, with its status and headers."""
    await send_json(send, error.status, error.body(), error.headers)


async def start_stream(send: Send) -> None:
    """Begins an answer of server-sent events."""
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def send_error_event(send: Send, error: ApiError) -> None:
    """Ends a stream that has begun with an error."""
    await send_part(send, f"data: {json_line(error.body())}\n\n".encode(), last=True)


async def send_part(send: Send, data: bytes, last: bool = False) -> None:
    """Sends a part of a stream. The stream ends with the `last` one."""
    await send({"type": "http.response.body", "body": data, "more_body": not last})
