"""The model registry: the Kubeflow Model Registry's REST API ``v1alpha3``, on a table of its own."""
