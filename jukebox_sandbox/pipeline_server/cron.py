"""Cron expressions as the scheduler of Kubeflow Pipelines reads them: robfig/cron 1.2, seconds first, in UTC.

croniter walks the calendar. What the two read differently is decided here: Sunday is 0 and never 7; a day must match
both day fields where one of them has a star (``*``, ``?``, ``*/2``), else either; five fields are six without the last
one; a name may begin a step (``Mon/2``); there are no ``L``, ``#``, ``H`` or ranges that wrap around.
Grammar: https://pkg.go.dev/github.com/robfig/cron@v1.2.0
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import CroniterBadDateError, croniter

MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}), (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS),
)  # fmt: skip
"""The lowest and the highest value, and the names: of seconds, minutes, hours, days, months, days of the week."""

DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_GAP = 5
"""Years without a match after which there is none, as in robfig/cron."""


@dataclass(frozen=True)
class Cron:
    """A cron expression that was read.

    Attributes:
        expression: For croniter: six fields of numbers, seconds first; empty where no time ever matches.
        either: Whether a day need match only one of its two fields.
        every: Seconds between two times (``@every``); 0 for all else.
    """

    expression: str
    either: bool = False
    every: int = 0

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time after a moment.

        Args:
            moment: In UTC, without a time zone.

        Returns:
            The time, whole seconds; None where there is none within five years.
        """
        moment = moment.replace(microsecond=0)
        if self.every:
            return moment + timedelta(seconds=self.every)
        if not self.expression:
            return None
        try:
            found: datetime = self._walk(moment).get_next(datetime)
        except CroniterBadDateError:
            return None
        return found

    def newest_until(self, first: datetime, last: datetime) -> datetime:
        """The newest time that is not after ``last``.

        Args:
            first: A time of this expression, not after ``last``.
            last: In UTC, without a time zone.

        Returns:
            The time; ``first`` where no other follows.
        """
        if self.every:
            return first + timedelta(seconds=(last - first) // timedelta(seconds=1) // self.every * self.every)
        found: datetime = self._walk(last.replace(microsecond=0) + timedelta(seconds=1)).get_prev(datetime)
        return max(first, found)

    def _walk(self, moment: datetime) -> croniter:
        return croniter(
            self.expression,
            moment,
            day_or=self.either,
            second_at_beginning=True,
            max_years_between_matches=LONGEST_GAP,
        )


def parse(text: str) -> Cron:
    """Read a cron expression.

    Args:
        text: Five or six fields, or a descriptor such as ``@daily`` or ``@every 1h30m``.

    Returns:
        The expression.

    Raises:
        ValueError: If it is none, in the words of robfig/cron.
    """
    if not text:
        raise ValueError("Empty spec string")
    if text.startswith("@every "):
        return Cron("", every=max(int(_duration(text)), 1))
    if text.startswith("@") and text not in DESCRIPTORS:
        raise ValueError(f"Unrecognized descriptor: {text}")
    fields = DESCRIPTORS.get(text, text).split()
    if len(fields) not in (5, 6):
        raise ValueError(f"Expected 5 to 6 fields, found {len(fields)}: {text}")
    read = [_field(*pair) for pair in zip([*fields, "*"][:6], FIELDS, strict=True)]
    expression = " ".join(",".join(map(str, sorted(values))) for values, _ in read) if all(v for v, _ in read) else ""
    return Cron(expression, either=not (read[3][1] or read[5][1]))


def _field(text: str, bounds: tuple[int, int, dict[str, int]]) -> tuple[set[int], bool]:
    """The values of a field, and whether it has a star."""
    values: set[int] = set()
    star = False
    for part in filter(None, text.split(",")):
        values.update(_range(part, *bounds))
        star |= part[0] in "*?" and re.split("[-/]", part)[0] in ("*", "?")
    return values, star


def _range(part: str, lowest: int, highest: int, names: dict[str, int]) -> range:
    span, *steps = part.split("/")
    low, *highs = span.split("-")
    if low in ("*", "?"):
        start, end = lowest, highest
    else:
        start = _number(low, names)
        if len(highs) > 1:
            raise ValueError(f"Too many hyphens: {part}")
        end = _number(highs[0], names) if highs else start
    if len(steps) > 1:
        raise ValueError(f"Too many slashes: {part}")
    step = _number(steps[0], {}) if steps else 1
    if steps and not highs:  # "N/step" means "N-max/step"
        end = highest
    if start < lowest:
        raise ValueError(f"Beginning of range ({start}) below minimum ({lowest}): {part}")
    if end > highest:
        raise ValueError(f"End of range ({end}) above maximum ({highest}): {part}")
    if start > end:
        raise ValueError(f"Beginning of range ({start}) beyond end of range ({end}): {part}")
    if step == 0:
        raise ValueError(f"Step of range should be a positive number: {part}")
    return range(start, end + 1, step)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'Failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > 18:
        raise ValueError(
            f'Failed to parse int from {text[:60]}: strconv.Atoi: parsing "{text[:60]}": value out of range'
        )
    if (number := int(text)) < 0:
        raise ValueError(f"Negative number ({number}) not allowed: {text}")
    return number


def _duration(text: str) -> float:
    """Seconds of ``@every`` and a duration as Go writes it, e.g. ``1h30m``."""
    duration = text.removeprefix("@every ")
    part = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
    found = re.fullmatch(rf"([+-]?)((?:{part})+|0)", duration, re.ASCII)
    seconds = sum(float(number) * UNITS[unit] for number, unit in re.findall(part, duration)) if found else 0
    # 64 bits of nanoseconds hold no more.
    if not found or seconds > 1 << 33:
        raise ValueError(f'Failed to parse duration {text[:60]}: time: invalid duration "{duration[:60]}"')
    return -seconds if found[1] == "-" else seconds
