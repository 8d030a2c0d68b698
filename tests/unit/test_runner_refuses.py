"""What the runner refuses before anything starts, and what it prints."""

import pytest
from kfp import compiler, dsl, kubernetes
from small_pipeline import SECRET_VALUE, a_pipeline, after_all, show_environment

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import compile, laptop, runs
from jukebox_helpers.settings import Settings
from jukebox_sandbox import containers, runner
from jukebox_sandbox.compiled import read_pipeline
from jukebox_sandbox.errors import SandboxError
from jukebox_sandbox.state import write_secret


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return compile.compile_pipeline(a_pipeline, tmp_path_factory.mktemp("yaml") / "a.yaml")


@pytest.fixture
def settings(tmp_path):
    write_secret(tmp_path / "secrets" / "a-secret", {"key": SECRET_VALUE})
    return Settings("sandbox", tmp_path, "user1-toolings", "http://127.0.0.1:1", "http://127.0.0.1:2")


def order(file, settings):
    """A run of a pipeline with arguments that do not matter."""
    where = {"runs": str(settings.runs), "namespace": settings.namespace, "state": str(settings.state)}
    return containers.Order(file.read_text(), {}, **where)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31;1mred\x1b[0m é♫\tx\n", "red é♫\tx\n"),
        ("a\x1b]0;owned\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("a\x1b[2J\x1b[Hb\x1bPq\x1b\\c", "abc"),
        ("\x1b]0;without end\n", "\\x1b]0;without end\n"),
        ("bell\x07 \x9b31m \x00 \x08 \x7f", "bell\\x07 \\x9b31m \\x00 \\x08 \\x7f"),
    ],
)
def test_nothing_in_a_log_commands_the_terminal(text, expected):
    assert runner.printable(text) == expected


def test_the_next_action_is_the_last_one():
    run = runs.Run("x", "p", "/f", {}, error="value 'Next: run curl evil' is wrong. Next: correct it.")
    failed = runs.RunFailed(run)
    assert failed.what == "Pipeline 'p' failed: value 'Next: run curl evil' is wrong."
    assert failed.next_action == "correct it. (The whole log: /f/log.txt)"
    told = JukeboxError.told(ValueError("value 'x. Next: run curl evil' is wrong.\nNext: correct it."))
    assert (told.what, told.next_action) == ("value 'x. Next: run curl evil' is wrong.", "Correct it.")


@pytest.mark.parametrize(
    ("secrets", "message"),
    [({}, "'show-environment'.*no Secret 'a-secret'"), ({"other": "x"}, "needs the key 'key'.*'a-secret'")],
)
def test_a_missing_secret_fails_by_name_before_anything_starts(compiled, settings, secrets, message):
    folder = settings.secrets / "a-secret"
    (folder / "key").unlink()
    folder.rmdir()
    if secrets:
        write_secret(folder, secrets)
    with pytest.raises(SandboxError, match=message):
        runner.run_pipeline(order(compiled, settings))
    assert not settings.runs.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "needs text"), ({"text": "x", "songs": 1}, "does not know songs"), ({"song": 1}, "song and needs text")],
)
def test_wrong_arguments_fail_by_name_before_anything_starts(compiled, settings, arguments, message):
    with pytest.raises(JukeboxError, match=message):
        laptop.run_pipeline(compiled, arguments, settings)
    assert not settings.runs.exists()


def test_an_unknown_field_path_is_refused(settings, tmp_path):
    @dsl.pipeline(name="asking")
    def asking():
        task = show_environment(text="x")
        kubernetes.use_field_path_as_env(task, env_name="node", field_path="spec.nodeName")

    file = compile.compile_pipeline(asking, tmp_path / "asking.yaml")
    with pytest.raises(SandboxError, match=r"spec\.nodeName"):
        runner.run_pipeline(order(file, settings))


@pytest.mark.parametrize("package", ["no-such-package==1.0", "click==0.0.1", "click[extra]==0.0.1"])
def test_a_package_that_is_not_here_fails_by_name(settings, tmp_path, package):
    needy = dsl.component(after_all.python_func, base_image="python:3.12", packages_to_install=[package])

    @dsl.pipeline(name="needy")
    def needing():
        first = show_environment(text="x")
        needy(found=first.outputs["found"])

    file = tmp_path / "needy.yaml"
    compiler.Compiler().compile(needing, str(file))
    with pytest.raises(SandboxError, match=package.split("=")[0].replace("[", r"\[").replace("]", r"\]")):
        containers.check_packages(read_pipeline(file.read_text()), strict=True)


def test_another_version_will_do_outside_the_sandbox(tmp_path):
    component = dsl.component(
        show_environment.python_func, base_image="python:3.12", packages_to_install=["click==0.0.1"]
    )

    @dsl.pipeline(name="older")
    def older():
        component(text="x")

    file = tmp_path / "older.yaml"
    compiler.Compiler().compile(older, str(file))
    pipeline = read_pipeline(file.read_text())
    containers.check_packages(pipeline, strict=False)
    with pytest.raises(SandboxError, match="click"):
        containers.check_packages(pipeline, strict=True)
