"""Jukebox: the helper library of the MLOps workshop kit. A folder says where its code runs, and arrows point down.

Here: the command line, above the rooms; below them where things are (settings, sandbox, workbench), and errors.
docs/architecture.md draws rooms and arrows.
"""

from jukebox_helpers import former_names

__version__ = "0.1.0"

former_names.install()
