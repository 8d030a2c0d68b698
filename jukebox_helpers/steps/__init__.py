"""The ground: all that is carried into the steps of a pipeline, such as tables, model, registry, S3, git and DVC.

Runs in a step's container, and here.
May use: itself, and the packages that steps install. Nothing else of ours.
"""
