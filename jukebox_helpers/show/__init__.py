"""What people look at: graphs, charts, lineage, comparisons, progress.

Runs in a notebook or a terminal. Uses pipelines and what is below it.
"""
