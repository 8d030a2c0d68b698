"""A pipeline with everything that can be around a step, and what a drawing of it says."""

import re

from kfp import dsl


@dsl.component(base_image="python:3.12")
def flip(side: str) -> str:
    """Say which side."""
    return side


@dsl.component(base_image="python:3.12")
def say(text: str):
    """Say it, or fail."""
    if text == "fail":
        raise ValueError("no words. Next: give some.")


@dsl.pipeline(name="nested")
def nested(side: str = "heads", words: list = ["a", "b"]):  # noqa: B006
    """Conditions, loops and an exit handler, in each other."""
    last = say(text="end")
    with dsl.ExitHandler(last):
        coin = flip(side=side)
        with dsl.If(coin.output == "heads"), dsl.ParallelFor(words) as word:
            say(text=word)
        with dsl.Else():
            say(text="lost")


def boxes(mermaid: str) -> tuple[dict[str, str], list[str], set[tuple[str, str]]]:
    """Of a graph: label and style of each step by its id, and the arrows between labels."""
    nodes = {found[1]: (found[2], found[3]) for found in re.finditer(r'^ *(t\w*)\("(.*)"\):::(\w+)$', mermaid, re.M)}
    around = {found[1]: found[2] for found in re.finditer(r'^ *subgraph (t\w*)\["(.*)"\]$', mermaid, re.M)}
    names = {key: label for key, (label, _) in nodes.items()} | around
    arrows = {(names[a], names[b]) for a, b in re.findall(r"^ *(t\w*) --> (t\w*)$", mermaid, re.M)}
    return dict(nodes.values()), list(around.values()), arrows
