"""The attacks: which cases run today, how many there were, and the page that a whole run writes."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import reliability
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import data


class Tally:
    """Counts the cases of one test.

    Args:
        name: The attack.
    """

    def __init__(self, name: str) -> None:
        self.name, self.day = name, reliability.day()
        self.cases, self.named = 0, list[str]()

    def turn(self, cases: Sequence[Any]) -> list[Any]:
        """The cases that run: all, or the tenth of the day."""
        return reliability.turn(cases, self.name, self.day)

    def number(self, whole: int, least: int = 1) -> int:
        """How many of something: the whole number, or a tenth."""
        return whole if self.day is None else max(whole // reliability.SHARE, least)

    def examples(self, whole: int) -> Callable[[Callable[..., None]], Callable[[], None]]:
        """A decorator for a test of hypothesis: so many examples or a tenth, each day other ones, not shrunk."""

        def decorate(test: Callable[..., None]) -> Callable[[], None]:
            options = settings(
                max_examples=self.number(whole),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            return options(seed(self.day.toordinal() if self.day else 0)(given(data())(test)))

        return decorate

    def count(self, name: str = "") -> None:
        """Count a case, by name where it has one."""
        self.cases += 1
        self.named += [name] * bool(name)


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Any) -> Iterator[Tally]:
    """What a test counts its cases with."""
    made = Tally(request.path.stem.removeprefix("test_"))
    yield made
    assert made.cases or made.day, "an attack without a case"
    record_property("cases", made.cases)
    record_property("named", json.dumps(made.named))


class Collector:
    """Hears what each test gave, also where another process runs it."""

    def __init__(self) -> None:
        self.results: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.named: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up a test's phases."""
        file, _, test = report.nodeid.partition("::")
        if not file.startswith("tests/attacks/test_"):
            return
        of_file = self.results[file.removeprefix("tests/attacks/test_").removesuffix(".py")]
        one = next((one for one in of_file if one["test"] == test), None)
        if one is None:
            one = {"test": test, "outcome": "passed", "cases": 0, "seconds": 0.0}
            of_file.append(one)
        one["seconds"] += report.duration
        if report.outcome != "passed":
            one["outcome"] = report.outcome
        if report.when == "teardown":
            one["cases"], self.named[report.nodeid] = reliability.read_properties(report.user_properties)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(), "attacks")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A file that somebody names runs on each day.
    if (when := reliability.day()) and not any(argument.endswith(".py") for argument in config.args):
        late = [one for one in items if not reliability.has_its_turn(one.path.stem.removeprefix("test_"), when)]
        items[:] = [one for one in items if one not in late]
        config.hook.pytest_deselected(items=late)


def pytest_report_header() -> str | None:
    when = reliability.day()
    return f"attacks: what is due on {when}; again with {reliability.DATE}={when}" if when else None


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    collector: Any = config.pluginmanager.get_plugin("attacks")
    terminalreporter.section("attacks")
    for name, parts in sorted(collector.results.items()):
        cases, seconds = sum(part["cases"] for part in parts), sum(part["seconds"] for part in parts)
        terminalreporter.line(f"{name}: {cases:,} cases in {seconds:.0f} s")
    for test, named in collector.named.items():
        if named:
            terminalreporter.line(f"{test}: {len(named)} points")
            for line in named:
                terminalreporter.line(f"    {line}")
    part = config.option.keyword or config.option.maxfail or any("::" in argument for argument in config.args)
    if reliability.day() or part or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    for name, parts in collector.results.items():
        reliability.keep(config.cache, name, parts)
    if found := reliability.kept(config.cache):
        reliability.PAGE.write_text(reliability.page(found))
        terminalreporter.line(f"Wrote {reliability.PAGE.relative_to(reliability.KIT)}.")
