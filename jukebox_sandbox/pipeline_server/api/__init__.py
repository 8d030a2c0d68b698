"""The v2beta1 REST API of Kubeflow Pipelines, as a Flask application."""

from flask import Flask
from sqlalchemy.orm import Session

from jukebox_sandbox.pipeline_server.api import experiments, health, pipelines, runs, versions
from jukebox_sandbox.pipeline_server.api.problems import respond_to
from jukebox_sandbox.pipeline_server.api.service import EXTENSION, Service
from jukebox_sandbox.pipeline_server.creation import find_experiment
from jukebox_sandbox.pipeline_server.specs import SIZE_LIMIT

__all__ = ["Service", "create_application"]


def create_application(parts: Service) -> Flask:
    """Make the application. It knows no users: put it behind the door.

    Args:
        parts: What is behind it.

    Returns:
        The application; the experiment ``Default`` is there.
    """
    with Session(parts.engine) as session:
        find_experiment(session)
        session.commit()
    application = Flask(__name__, static_folder=None)
    application.extensions[EXTENSION] = parts
    # A little more than the largest file: what surrounds it in a form.
    application.config["MAX_CONTENT_LENGTH"] = SIZE_LIMIT + (1 << 20)
    for part in (pipelines, versions, runs, experiments, health):
        application.register_blueprint(part.blueprint)
    application.register_error_handler(Exception, respond_to)
    return application
