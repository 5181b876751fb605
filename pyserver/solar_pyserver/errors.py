"""Exit codes, and the errors that end a start or answer a request."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The meaning of the process's exit codes. `--help` prints this list."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    MISSING_MODULE = 3
    MODEL = 4
    PORT = 5
    LABELS = 6
    NO_MODEL = 7


EXIT_MEANINGS = {
    ExitCode.OK: "stopped by SIGTERM or SIGINT",
    ExitCode.UNEXPECTED: "unexpected failure, or the accelerator or the worker was lost",
    ExitCode.USAGE: "bad flag or setting",
    ExitCode.MISSING_MODULE: "a Python module is missing; the line names it and the command that installs it",
    ExitCode.MODEL: "the model cannot be loaded",
    ExitCode.PORT: "the port is busy or the address cannot be bound",
    ExitCode.LABELS: "the labels are malformed or do not fit the model",
    ExitCode.NO_MODEL: "the model's folder is not there or holds no model",
}


class StartupError(Exception):
    """A start that cannot go on. `code` is the exit code, and the text is the one line shown."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ApiError(Exception):
    """An answer that is an OpenAI error object, `{"error": {message, type, param, code}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.headers = headers or {}

    def body(self) -> dict[str, object]:
        """The error as OpenAI's object."""
        return {
            "error": {
                "message": str(self),
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


def queue_full(limit: int) -> ApiError:
    """The 429. `limit` is how many may wait."""
    return ApiError(
        429,
        f"{limit} requests are waiting already; try again later",
        type="rate_limit_error",
        code="queue_full",
        headers={"Retry-After": "1"},
    )


def stopping(reason: str | None) -> ApiError:
    """The 503 of a server that ends; `reason` is why, where it is not its own wish."""
    return ApiError(
        503, reason or "The server is stopping", type="server_error", code="stopping", headers={"Retry-After": "5"}
    )


def context_exceeded(length: int, context: int, param: str) -> ApiError:
    """The 400 for a prompt of `length` tokens. Clients look for `maximum context length is N tokens`."""
    return ApiError(
        400,
        f"This model's maximum context length is {context} tokens, but {param} has {length} tokens",
        param=param,
        code="context_length_exceeded",
    )


def model_failure(error: BaseException) -> ApiError:
    """The error of a request whose forward pass failed: 503 for out of memory, which a retry may mend, else 500."""
    if is_out_of_memory(error):
        return ApiError(
            503,
            "The model ran out of memory on this request; a shorter one may fit",
            type="server_error",
            code="out_of_memory",
            headers={"Retry-After": "5"},
        )
    return ApiError(500, f"The model failed: {one_line(error)}", type="server_error", code="model_error")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class of its own (`torch.OutOfMemoryError`). MPS and the CPU allocator only have a text."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether the CUDA context is lost. Only a new process gets another one."""
    return not is_out_of_memory(error) and (type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error))


def lost(error: BaseException) -> str:
    """Why the process has to end, in words."""
    what = "the accelerator" if is_device_lost(error) else "the worker"
    return f"{what} failed and needs a new process: {one_line(error)}"


def one_line(error: BaseException, limit: int = 300) -> str:
    """The error's text on one line of `limit` characters at most."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
