"""The ground: all that is carried into the steps of a pipeline.

Runs in a step's container, and here. Imports nothing of ours but itself, and the packages that steps install.
"""
