"""Jukebox: the helper library of the MLOps workshop kit. Each module is one idea; see docs/architecture.md."""

__version__ = "0.1.0"
