"""How Arrow holds memory. The function here travels into pipeline steps (packages: none)."""

import os


def give_memory_back() -> None:
    """Let Arrow take its memory from the system, which gets back what is freed; Arrow's own allocator keeps it.

    Arrow reads this once, when it is first imported (pandas imports it too): called later, it changes nothing.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
