"""The model registry of this platform."""

from jukebox_helpers.errors import as_jukebox_error
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps import registry


@as_jukebox_error()
def model_registry(settings: Settings) -> registry.ModelRegistry:
    """Open the platform's model registry, as its steps do; a JukeboxError if it is unknown or does not answer."""
    domain = settings.known_cluster_domain()
    return registry.open_registry(domain, settings.namespace, token=settings.token)
