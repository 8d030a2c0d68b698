"""The embedded platform of a laptop: real S3, real git, the push trigger, in one state folder."""

from jukebox_helpers.sandbox.control import down, status, up
from jukebox_helpers.sandbox.events import events, is_running, wait_for
from jukebox_helpers.sandbox.repositories import clone

__all__ = ["clone", "down", "events", "is_running", "status", "up", "wait_for"]
