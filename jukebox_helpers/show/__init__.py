"""What people look at: graphs, charts, lineage, comparisons of data, the player of a model, the progress of a run.

Runs in a notebook or a terminal.
May use: pipelines, settings, errors, steps.
"""
