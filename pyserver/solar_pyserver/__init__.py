"""solar-pyserver: one process that serves one HuggingFace model over HTTP."""

__version__ = "0.1.0"
