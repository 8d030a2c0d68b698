"""Which steps of a compiled pipeline the server's cache may answer for."""

from jukebox_helpers.pipelines.read import CompiledPipeline


def caching(pipeline: CompiledPipeline) -> dict[str, bool]:
    """For each step, those inside loops and conditions too: whether its cache is on."""
    components = pipeline.spec["components"]
    graphs = [pipeline.spec["root"]["dag"], *(one["dag"] for one in components.values() if "dag" in one)]
    return {
        name: bool(task.get("cachingOptions", {}).get("enableCache"))
        for graph in graphs
        for name, task in graph["tasks"].items()
        if "executorLabel" in components[task["componentRef"]["name"]]
    }
