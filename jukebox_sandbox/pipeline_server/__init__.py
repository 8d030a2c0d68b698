"""The pipeline server: Kubeflow Pipelines' REST API and the Model Registry's, over a runner as strict as a cluster.

It uses the sandbox's state and S3, SQLAlchemy for what it keeps, and nothing of songs or lessons.
"""
