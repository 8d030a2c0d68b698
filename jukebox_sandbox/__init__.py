"""OpenShift AI in small, on a laptop: S3, git with webhooks, the trigger, pipelines; on loopback, in one state folder.

It knows nothing of songs or lessons, and uses nothing of the helper library.
"""
