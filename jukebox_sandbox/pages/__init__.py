"""The pages: OpenShift AI's dashboard in small, over the pipeline server, the registry, S3 and git.

They are the sandbox's top floor: they may use everything below, and only the start of the sandbox knows them. They hold
no state and no JavaScript of their own; htmx, which keeps a running run up to date, comes from the package django-htmx.
"""

from flask import Flask

from jukebox_sandbox.pages import (
    artifacts,
    buckets,
    experiments,
    pipeline_runs,
    pipelines,
    registry,
    run,
    runs,
    schedules,
)
from jukebox_sandbox.pages.site import ROOT, Site, prepare
from jukebox_sandbox.pipeline_server.api.clock import EXTENSION as CLOCK
from jukebox_sandbox.pipeline_server.api.service import EXTENSION as SERVICE
from jukebox_sandbox.pipeline_server.api.service import Service
from jukebox_sandbox.pipeline_server.schedules import Clock

__all__ = ["ROOT", "Site", "make_app"]

PAGES = (pipelines, runs, run, schedules, experiments, artifacts, registry, pipeline_runs, buckets)


def make_app(site: Site, service: Service, clock: Clock) -> Flask:
    """Make the application that answers below :data:`.site.ROOT`. It knows no users: put it behind the door.

    Args:
        site: What the pages show beside pipelines.
        service: The parts behind KFP's API.
        clock: The clock.

    Returns:
        The application.
    """
    application = Flask(__name__, static_url_path=f"{ROOT}/static")
    application.extensions[SERVICE] = service
    application.extensions[CLOCK] = clock
    prepare(application, site)
    for page in PAGES:
        application.register_blueprint(page.blueprint, url_prefix=ROOT)
    return application
