"""Runs the command line: ``python -m jukebox_helpers``."""

from jukebox_helpers.cli import main

main()
