"""JSON that stays one line, whatever a client takes for the end of a line."""

from __future__ import annotations

import json

# JSON lets them stand as they are; but Python's splitlines, by which HTTP clients cut a stream, ends a line at them.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def json_line(value: object) -> str:
    """JSON without any character that ends a line."""
    return json.dumps(value, ensure_ascii=False).translate(_LINE_ENDS)
