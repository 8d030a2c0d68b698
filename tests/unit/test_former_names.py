"""Import paths of before the rooms, as attendees' notebooks and scripts have them."""

from importlib import import_module

import pytest

from jukebox_helpers import former_names, workshop

BEFORE = {
    "jukebox_helpers": "__version__ lineage views",
    "jukebox_helpers.catch_up": "catch_up",
    "jukebox_helpers.challenge": "challenge",
    "jukebox_helpers.cli": "show_run",
    "jukebox_helpers.cross_validation": "cross_validate",
    "jukebox_helpers.data_comparison": "compare_data_versions",
    "jukebox_helpers.data_versions": "check_write_access commit_data_version fetch_data_version file_md5",
    "jukebox_helpers.errors": "JukeboxError",
    "jukebox_helpers.evaluation": "evaluate evaluation_picture refuse_if_failed",
    "jukebox_helpers.exercises": "exercise",
    "jukebox_helpers.git_repository": "repository_url",
    "jukebox_helpers.lineage": "trace",
    "jukebox_helpers.local_runner": "run_pipeline",
    "jukebox_helpers.pictures": "lineage_picture pipeline_graph",
    "jukebox_helpers.pipelines": "TRAINING_PIPELINE TRAINING_PIPELINE_YAML compile_file compile_pipeline step",
    "jukebox_helpers.platform_rhoai": "ask_cluster_domain",
    "jukebox_helpers.play": "country_bars load_model sliders typical_song",
    "jukebox_helpers.preparation": "prepare rankings_digest",
    "jukebox_helpers.progress": "RunProgress",
    "jukebox_helpers.quizzes": "quiz",
    "jukebox_helpers.rankings": "fetch_rankings refuse_made_up",
    "jukebox_helpers.registration": "fetch_previous_model register_model_version",
    "jukebox_helpers.sample_data": "make_rankings make_songs",
    "jukebox_helpers.settings": "find_settings",
    "jukebox_helpers.song_data": "transform_songs validate_rankings validate_songs",
    "jukebox_helpers.step_metadata": "recorded",
    "jukebox_helpers.training": "check_onnx export_onnx forward_scores train versions",
    "jukebox_helpers.transfer": "fetch load_object",
    "jukebox_helpers.views": "restored_tables show_file show_log",
    "jukebox_helpers.workplace": "load_songs",
    "jukebox_helpers.workshop": "FETCH_FROM_DVC",
}
"""What notebooks, pages, messages and pipeline files imported from where, before the rooms."""


@pytest.mark.parametrize(("module", "names"), BEFORE.items(), ids=BEFORE)
def test_what_was_imported_is_still_found(module, names):
    for name in names.split():
        scope = {}
        exec(f"from {module} import {name}", scope)
        assert scope[name] is not None


def test_an_old_path_gives_the_thing_itself():
    now = import_module("jukebox_helpers.show.graphs")
    assert import_module("jukebox_helpers.pictures").pipeline_graph is now.pipeline_graph


@pytest.mark.parametrize("rooms", former_names.MOVED.values(), ids=former_names.MOVED)
def test_each_old_module_leads_to_modules(rooms):
    for room in rooms.split():
        import_module(f"jukebox_helpers.{room}")


def test_a_name_that_is_gone_says_where_the_module_went():
    pictures = import_module("jukebox_helpers.pictures")
    with pytest.raises(AttributeError, match=r"pictures has become show\.graphs and show\.lineage_picture, without"):
        _ = pictures.no_such_name
    with pytest.raises(ModuleNotFoundError):
        import_module("jukebox_helpers.no_such_module")
    for room in (workshop, import_module("jukebox_helpers.pipelines")):
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = room.no_such_name


def test_what_notebooks_import_is_described():
    for name in workshop.__all__:
        assert f"``{name}``" in workshop.__doc__ and name in dir(workshop)
        scope = {}
        exec(f"from jukebox_helpers.workshop import {name}", scope)
        assert scope[name].__name__.endswith(name) if callable(scope[name]) else scope[name]
