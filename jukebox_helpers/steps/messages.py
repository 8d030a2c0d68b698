"""The words of a message: what comes from data is shown so that it forges nothing."""


def shown(value: object, most: int = 42) -> str:
    """A value that comes from data, as a message shows it: on one line, escaped and cut, so that it forges nothing.

    This function travels into pipeline steps.

    Args:
        value: A value of a table, the name of a column, the message of a foreign error.
        most: How many characters of its ``repr`` are shown.

    Returns:
        The ``repr``, cut.
    """
    text = repr(value[:most] if isinstance(value, str | bytes) else value)
    return text if len(text) <= most else text[: most - 1] + "…"


def parts(message: str) -> tuple[str, str]:
    """What happened, and what to do next.

    Args:
        message: A message that ends with "Next: …", as those of functions that travel do.

    Returns:
        The text before the last "Next: ", because values of data may stand in it, and the one behind it.
    """
    what, mark, next_action = message.rpartition("Next: ")
    return (what.strip(), next_action.strip()) if mark else (message.strip(), "")
