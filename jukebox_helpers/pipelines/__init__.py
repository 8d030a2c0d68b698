"""Pipelines: declared, compiled, read, imported and run; and the training of a pushed revision.

Runs where a person or the trigger is: a workbench, a laptop, a task of ct-pipeline. Uses steps, settings, errors.
"""
