"""How much of the attacks runs on which day, and when their page is written."""

from datetime import date, timedelta

import pytest
import reliability


class Cache(dict):
    """What pytest keeps from run to run."""

    def set(self, key, value):
        self[key] = value


def test_ten_days_in_a_row_run_every_case_once():
    cases, first = list(range(137)), date(2026, 11, 25)
    days = [reliability.turn(cases, "kills", first + timedelta(days=number)) for number in range(10)]
    assert sorted(case for day in days for case in day) == cases
    assert {len(day) for day in days} == {13, 14}
    assert reliability.turn(cases, "kills", None) == cases
    assert days[0] == reliability.turn(cases, "kills", first) != reliability.turn(cases, "races", first)


def test_each_file_has_its_turn_on_every_fourth_day():
    names, first = [attack.name for attack in reliability.attacks()], date(2026, 11, 25)
    days = [
        [name for name in names if reliability.has_its_turn(name, first + timedelta(days=number))]
        for number in range(reliability.FILES)
    ]
    assert sorted(name for day in days for name in day) == sorted(names)
    assert max(map(len, days)) - min(map(len, days)) <= 1
    assert all(reliability.has_its_turn(name, None) for name in names)


def test_the_day_is_named_or_everything_runs(monkeypatch):
    monkeypatch.delenv(reliability.DATE, raising=False)
    assert reliability.day() is None
    monkeypatch.setenv(reliability.DATE, "2026-11-25")
    assert reliability.day() == date(2026, 11, 25)
    monkeypatch.setenv(reliability.DATE, "today")
    with pytest.raises(ValueError, match="today"):
        reliability.day()


def test_every_attack_names_its_promises_and_what_it_does():
    found = reliability.attacks()
    assert {f"test_{attack.name}.py" for attack in found} == {
        file.name for file in reliability.FOLDER.glob("test_*.py")
    }
    for attack in found:
        assert attack.promises and set(attack.promises) <= set(range(1, 10)), attack
        assert attack.title.endswith("."), attack


def test_the_page_waits_for_every_attack_and_says_what_broke():
    cache, (first, *others) = Cache(), reliability.attacks()
    part = {"test": "test_x", "outcome": "passed", "cases": 1_200, "seconds": 2.5}
    for attack in others:
        reliability.keep(cache, attack.name, [part])
    assert reliability.kept(cache) is None
    reliability.keep(cache, first.name, [part, part | {"test": "test_y", "outcome": "failed"}])
    page = reliability.page(reliability.kept(cache))
    (row,) = [line for line in page.splitlines() if f"test_{first.name}.py" in line]
    assert "| 2,400 | **broken**: test_y | 5 |" in row
    assert page.count("| holds |") == len(others)
    cache[f"attacks/{first.name}"]["day"] = "2020-01-01"
    assert reliability.kept(cache) is None
