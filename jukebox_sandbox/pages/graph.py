"""The graph of a pipeline as a picture that the server draws: the steps in layers, in the order of their running."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout

from jukebox_sandbox.pipeline_server.runner.specification import Specification, dependencies

NODE_WIDTH, NODE_HEIGHT = 250, 48
GAP_X, GAP_Y, MARGIN = 34, 40, 12
NAME_LIMIT = 25
"""Characters of a name that fit into a node."""


@dataclass(frozen=True)
class Step:
    """A step of a pipeline, with the DAGs that it is in.

    Attributes:
        scope: The path of names from the root, ``root/for-loop-1/train``, as rows of a run have it, but for iterations.
        name: Its name.
        group: The DAG that it is in, ``for-loop-1``; empty for the pipeline itself.
        task: Its task in the spec.
        component: Its component in the spec.
        after: The scopes of the steps that it waits for.
    """

    scope: str
    name: str
    group: str
    task: dict[str, Any]
    component: dict[str, Any]
    after: tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """A step in the picture, in pixels.

    Attributes:
        name: The step's name.
        group: The DAG that it is in.
        state: Its state; empty where nothing runs.
        address: What shows more of it.
        chosen: Whether that is shown.
        x: Its left edge.
        y: Its upper edge.
    """

    name: str
    group: str
    state: str
    address: str
    chosen: bool
    x: int
    y: int

    @property
    def short_name(self) -> str:
        """The name, cut to what fits."""
        return self.name if len(self.name) <= NAME_LIMIT else f"{self.name[: NAME_LIMIT - 1]}…"


@dataclass(frozen=True)
class Picture:
    """A graph that is drawn.

    Attributes:
        nodes: The steps, those that may run first before the others.
        lines: The edges, each the path of an SVG.
        width: Pixels.
        height: Pixels.
    """

    nodes: list[Node]
    lines: list[str]
    width: int
    height: int
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


def steps_of(pipeline: Specification) -> list[Step]:
    """The steps of a pipeline, those in its conditions and loops included, each after those that it waits for.

    Args:
        pipeline: The pipeline.

    Returns:
        The steps.
    """
    return _steps(pipeline, pipeline.root, "root", "", ())


def _steps(pipeline: Specification, dag: dict[str, Any], at: str, group: str, before: tuple[str, ...]) -> list[Step]:
    tasks = dag["dag"]["tasks"]
    waits, found, last = dependencies(tasks), list[Step](), dict[str, tuple[str, ...]]()
    while len(last) < len(tasks):
        ready = [name for name in tasks if name not in last and all(one in last for one in waits[name] if one in tasks)]
        for name in ready or [one for one in tasks if one not in last][:1]:
            component = pipeline.component(tasks[name])
            after = tuple(dict.fromkeys(scope for one in waits[name] for scope in last.get(one, ()))) or before
            scope = f"{at}/{name}"
            if "dag" not in component:
                found.append(Step(scope, name, group, tasks[name], component, after))
                last[name] = (scope,)
                continue
            inner = _steps(pipeline, component, scope, name, after)
            found += inner
            waited_for = {one for step in inner for one in step.after}
            last[name] = tuple(step.scope for step in inner if step.scope not in waited_for)
    return found


def draw(
    steps: Iterable[Step], address: Callable[[Step], str], states: Mapping[str, str] | None = None, chosen: str = ""
) -> Picture:
    """Draw the graph of a pipeline.

    Args:
        steps: Its steps.
        address: Says where more of a step is shown.
        states: The states of steps by scope.
        chosen: The scope of the step that is shown.

    Returns:
        The picture.
    """
    vertices = {step.scope: _vertex(step) for step in steps}
    before: dict[str, set[str]] = {}
    edges = []
    for scope, vertex in vertices.items():
        after = set(vertex.data.after) & set(before)
        before[scope] = after.union(*(before[one] for one in after))
        # An edge that a longer way says already is not drawn.
        edges += [Edge(vertices[one], vertex) for one in after if not any(one in before[other] for other in after)]
    places: dict[str, tuple[int, int]] = {}
    right = 0
    for part in Graph(list(vertices.values()), edges).C:
        layout = SugiyamaLayout(part)
        layout.xspace, layout.yspace = GAP_X, GAP_Y
        layout.init_all(roots=[one for one in part.sV if not one.e_in()])
        layout.draw(8)
        corners = {
            one.data.scope: (one.view.xy[0] - NODE_WIDTH / 2, one.view.xy[1] - NODE_HEIGHT / 2) for one in part.sV
        }
        left, top = (min(corner[axis] for corner in corners.values()) for axis in (0, 1))
        for scope, (x, y) in corners.items():
            places[scope] = (round(x - left) + right + MARGIN, round(y - top) + MARGIN)
        right = max(places[scope][0] for scope in corners) + NODE_WIDTH + GAP_X - MARGIN
    nodes = [
        Node(
            step.name,
            step.group,
            (states or {}).get(step.scope, ""),
            address(step),
            step.scope == chosen,
            *places[scope],
        )
        for scope, step in ((scope, vertex.data) for scope, vertex in vertices.items())
    ]
    lines = [_line(places[edge.v[0].data.scope], places[edge.v[1].data.scope]) for edge in edges]
    width = max((x for x, _ in places.values()), default=0) + NODE_WIDTH + MARGIN
    height = max((y for _, y in places.values()), default=0) + NODE_HEIGHT + MARGIN
    return Picture(nodes, lines, width, height)


def _vertex(step: Step) -> Any:
    vertex = Vertex(step)
    vertex.view = _Size()
    return vertex


class _Size:
    """What the layout wants to know of a node, and where it puts it."""

    w, h = NODE_WIDTH, NODE_HEIGHT
    xy = (0.0, 0.0)


def _line(above: tuple[int, int], below: tuple[int, int]) -> str:
    x1, y1 = above[0] + NODE_WIDTH // 2, above[1] + NODE_HEIGHT
    x2, y2 = below[0] + NODE_WIDTH // 2, below[1]
    middle = (y1 + y2) // 2
    return f"M{x1},{y1} C{x1},{middle} {x2},{middle} {x2},{y2}"
