"""The HTTP side: plain ASGI, so that a client's leaving is seen at once."""
