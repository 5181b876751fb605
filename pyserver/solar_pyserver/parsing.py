"""From the bytes of a body to an object of a schema, or to an error that names the field at fault."""

from __future__ import annotations

import json
from json import JSONDecodeError
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import ApiError
from .schemas import NEUTRAL

Body = TypeVar("Body", bound=BaseModel)


def parse_body(kind: type[Body], raw: bytes, invalid: Literal[400, 422] = 400) -> Body:
    """Raises an `ApiError` that names the field at fault. `invalid` is its status for a field that does not fit."""
    try:
        data = json.loads(raw)
    except RecursionError as error:
        raise ApiError(400, "The body is nested too deeply") from error
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"The body is not JSON: {error}") from error
    except ValueError as error:
        # Python reads no number of more digits.
        raise ApiError(400, "The body has a number of more than 4300 digits") from error
    if not isinstance(data, dict):
        raise ApiError(400, "The body must be a JSON object")
    # An unknown field that is null asks for nothing.
    data = {name: value for name, value in data.items() if value is not None or name in kind.model_fields}
    try:
        body = kind.model_validate(data)
    except ValidationError as error:
        raise _refusal(error, data, invalid) from error
    for name, neutral in NEUTRAL.items():
        value = data.get(name)
        if name in kind.model_fields and value is not None and value not in neutral:
            raise ApiError(400, f"{name} is not supported by this server", param=name, code="unsupported_parameter")
    return body


def _refusal(error: ValidationError, data: dict[str, Any], status: int) -> ApiError:
    """One message for one fault. The value is left out: it may be a whole prompt."""
    # Of a union, the variant that was read furthest is taken for the one that was meant.
    fault = max(error.errors(include_input=False, include_url=False), key=lambda fault: len(fault["loc"]))
    top = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        name = ".".join(str(part) for part in fault["loc"])
        return ApiError(status, f"Unrecognized request argument supplied: {name}", param=name, code="unknown_parameter")
    if fault["type"] == "missing" and len(fault["loc"]) == 1:
        return ApiError(status, f"Missing required parameter: {top}", param=top, code="missing_required_parameter")
    if top == "input" and isinstance(data.get("input"), list):
        at = next((at for at, item in enumerate(data["input"]) if not isinstance(item, str)), None)
        if at is not None:
            return ApiError(status, f"input[{at}] is not a string", param=f"input[{at}]", code="invalid_type")
    name = _path(data, fault["loc"])
    if fault["type"] == "missing":
        name = f"{name}.{fault['loc'][-1]}"
        return ApiError(status, f"{name} is missing", param=name, code="missing_required_parameter")
    if fault["type"] == "too_short":
        return ApiError(status, f"{name} is empty", param=name, code="invalid_value")
    # pydantic names Python's dictionary, and its own classes.
    wrong = "Input should be an object" if fault["type"] in ("dict_type", "model_type") else fault["msg"]
    return ApiError(status, f"{name}: {wrong}", param=name, code="invalid_value")


def _path(data: Any, location: tuple[int | str, ...]) -> str:
    """The field's path in the body. pydantic's location also has names of union members, which are no fields."""
    path = ""
    for part in location:
        if isinstance(part, int) and isinstance(data, list) and part < len(data):
            path, data = f"{path}[{part}]", data[part]
        elif isinstance(data, dict) and (part in data or not path):
            path, data = f"{path}.{part}" if path else str(part), data.get(part)
    return path
