"""The model registry of this platform, with what no step does in it."""

from jukebox_helpers.errors import as_jukebox_error
from jukebox_helpers.settings import Settings
from jukebox_helpers.steps.registry import ModelRegistry, registry_address
from jukebox_helpers.steps.registry_records import Record


class PlatformRegistry(ModelRegistry):
    """Reads and writes the registry, over all of its models."""

    def models(self) -> list[str]:
        """The names of all registered models that are not archived."""
        return sorted(model.name for model in self.all(self.api.get_registered_models) if model.state == "LIVE")

    def latest(self, name: str) -> Record | None:
        """The version registered last."""
        return next(self.records(name), None)

    def archive(self, name: str) -> None:
        """Put a model and its versions away: the API can delete neither. Registering a version brings the model back.

        The versions come first: an attempt that died half way is completed by the next one.
        """
        from model_registry.types import ModelVersionState, RegisteredModelState

        if not (model := self.model(name)):
            return
        for version in self.model_versions(model):
            if version.state == ModelVersionState.LIVE:
                version.state = ModelVersionState.ARCHIVED
                self.ask(self.api.upsert_model_version(version))
        model.state = RegisteredModelState.ARCHIVED
        self.ask(self.api.upsert_registered_model(model))


@as_jukebox_error()
def model_registry(settings: Settings) -> PlatformRegistry:
    """Open the platform's model registry, as its steps do; a JukeboxError if it is unknown or does not answer."""
    return PlatformRegistry(
        registry_address(settings.known_cluster_domain(), settings.namespace, False), settings.token
    )
