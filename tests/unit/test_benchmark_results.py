"""Results of benchmarks: compared with those before, and with their targets."""

from dataclasses import replace

from benchmarks import results
from benchmarks.results import Figure, Result, regressions


def test_only_ratios_that_became_half_as_good_again_are_regressions():
    figures = [
        Figure("gain", 10, "x", "higher"),
        Figure("cost", 10, "x", "lower"),
        Figure("seconds", 10, "s", "lower"),
    ]
    before = Result("any", "Any", 1, figures, [])

    def after(gain, cost, seconds=10):
        values = (gain, cost, seconds)
        return replace(before, figures=[replace(f, value=v) for f, v in zip(figures, values, strict=True)])

    assert regressions(before, after(7, 14, seconds=1000)) == []
    assert regressions(before, after(100, 1)) == []
    gain, cost = regressions(before, after(5, 20))
    assert gain == "any: gain is 5 x, was 10 x: 2.0 times worse"
    assert cost == "any: cost is 20 x, was 10 x: 2.0 times worse"
    assert len(regressions(before, after(0, 10))) == 1


def test_a_target_is_met_or_not_and_said_beside_the_number():
    figures = [Figure("a", 60, "x", "higher", 60), Figure("b", 61, "MB", "lower", 60), Figure("c", 1, "s", "lower")]
    assert [figure.met for figure in figures] == [True, False, None]
    lines = results.in_markdown(Result("any", "Any", 1, figures, [{"way": "one", "seconds": 1234.5}])).splitlines()
    assert "| a | 60 x | ≥ 60 x | met |" in lines
    assert "| b | 61 MB | ≤ 60 MB | **not met** |" in lines
    assert "| c | 1 s |  |  |" in lines
    assert "| one | 1,234 |" in lines
