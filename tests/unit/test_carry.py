"""What a step carries: found on the syntax tree, copied as it is written, refused where it cannot travel."""

import ast
import importlib.util
import sys

import pytest

from jukebox_helpers.errors import JukeboxError
from jukebox_helpers.pipelines import carry, compile, definitions

MESSAGES = definitions.library_module(carry.AROUND[0]).definitions
AROUND = "".join(f"{MESSAGES[name].source}\n\n" for name in ("FAILURE", "say_why"))
"""What is around every step."""

IMPORTS = ("import json\n", "import sys\n", "import traceback\n")
"""What that imports."""

SHAPES = """\
import os
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

SMALL = {"b", "a"}
'''Which are small.'''
DEFAULT: dict[str, list[int]] = {"a": [1, -2], "b": []}
EVALUATED = len(SMALL)
CHANGED = [1]
CHANGED += [2]
FIRST = SECOND = 3


def register(kind: type) -> type:
    return kind


class Base:
    limit = 2

    def area(self) -> float:
        return helper(self.limit)


@register
@dataclass
class Square(Base):
    side: float = 1.0

    def area(self, scale: "Callable | None" = None) -> float:
        names = [SMALL for SMALL in "ab"]
        return self.side**2 * len(names)


def helper(value: float, table=DEFAULT) -> float:
    return value * len(table) + recursive(2)


def recursive(number: int) -> int:
    return number and recursive(number - 1)


def address(text: str) -> str:
    return urllib.parse.quote(text) + os.sep


def opened(text: str) -> "object":
    return urllib.request.Request(text)


def inside() -> "object":
    from library.more import shown

    return shown
"""


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Write modules beside each other, the first with the step, and give what it carries."""
    monkeypatch.syspath_prepend(tmp_path)
    for module in (carry, definitions):
        monkeypatch.setattr(module, "PACKAGE", "library")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "__init__.py").write_text("from library.shapes import Square\n")
    (tmp_path / "library" / "shapes.py").write_text(SHAPES)

    def step(body, top="", name="a_step", **modules):
        for other, text in modules.items():
            (tmp_path / "library" / f"{other}.py").write_text(text)
        file = tmp_path / "steps_file.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        file.write_text(f"{top}\n\ndef {name}():\n{lines}")
        spec = importlib.util.spec_from_file_location("steps_file", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        text = carry.carried(getattr(module, name))
        assert text.count(AROUND) == 1
        lines = text.replace(AROUND, "").splitlines(keepends=True)
        return "".join(line for line in lines if line not in IMPORTS).lstrip("\n")

    yield step
    definitions.library_module.cache_clear()
    for known in [name for name in sys.modules if name.split(".")[0] == "library"]:
        del sys.modules[known]


def names(source):
    return [getattr(node, "name", "") or ast.unparse(node) for node in ast.parse(source).body]


def run(source, expression):
    """What an expression gives after the source, with nothing else around it."""
    there = {"__name__": "json"}  # a dataclass looks at the module that it is defined in
    exec(source, there)
    return eval(expression, there)


def test_bases_decorators_defaults_and_constants_travel_in_the_order_of_their_module(step):
    source = step("return Square(3).area()", "from library.shapes import Square")
    assert names(source) == [
        "from dataclasses import dataclass",
        "DEFAULT: dict[str, list[int]] = {'a': [1, -2], 'b': []}",
        "register", "Base", "Square", "helper", "recursive",
    ]  # fmt: skip
    assert '    def area(self, scale: "Callable | None" = None) -> float:\n' in source  # as it is written
    assert run(source, "[Square(3).area(), Base().area()]") == [18.0, 4]


def test_an_annotation_counts_unless_it_is_in_quotes(step):
    source = step("return use", "from library.more import use", more="from library.shapes import Base, Square\n\n\n"
                  "def use(one: Base, two: 'Square') -> None: ...\n")  # fmt: skip
    assert "Base" in names(source) and "Square" not in names(source)


def test_an_annotation_of_a_local_variable_does_not_count():
    """Python 3.14 does not compile it, so what it names would travel with the others only."""
    source = """def f(one: A):
    two: B = C
    def inner() -> D:
        three: E
        return three
    class Inner:
        four: F
        def method(self):
            self.five: G = 1
    return two
"""
    assert definitions.names_used(source) == ["A", "C", "D", "F"]


def test_a_constant_is_copied_as_it_is_written(step):
    assert step("return SMALL", "from library.shapes import SMALL") == 'SMALL = {"b", "a"}\n\n\n'


def test_imports_of_other_packages_travel_where_a_definition_names_them(step):
    source = step("return address('a')", "import os\nimport json\nfrom library.shapes import address")
    assert names(source) == ["import os", "import urllib.parse", "import urllib.request", "address"]
    assert names(step("return recursive(1)", "import os\nfrom library.shapes import recursive")) == ["recursive"]
    assert names(step("return os.sep", "import os")) == ["import os"]


def test_two_modules_of_one_package_are_imported_beside_each_other(step):
    source = step("return one, two", "from library.one import one\nfrom library.two import two",
                  one="import xml.dom\n\n\ndef one(): return xml.dom\n",
                  two="import xml.sax\n\n\ndef two(): return xml.sax\n")  # fmt: skip
    assert names(source) == ["import xml.dom", "import xml.sax", "one", "two"]


def test_the_step_s_own_file_and_a_package_that_passes_on_are_followed(step):
    source = step("return LIMIT, local(), Square", "from library import Square\nLIMIT = 2\n\n\ndef local():\n    ...\n")
    assert names(source)[-2:] == ["LIMIT = 2", "local"]
    assert "Square" in names(source)


@pytest.mark.parametrize(
    ("body", "top", "message"),
    [
        (
            "return EVALUATED",
            "from library.shapes import EVALUATED",
            "'EVALUATED' of library.shapes.*not a function, a",
        ),
        (
            "return CHANGED",
            "from library.shapes import CHANGED",
            "'CHANGED' of library.shapes.*not a function, a class",
        ),
        ("return FIRST", "from library.shapes import FIRST", "'FIRST' of library.shapes"),
        ("return unknown", "", "'unknown' of steps_file, which a_step uses"),
        ("return shapes.SMALL", "from library import shapes", "'shapes' of library"),
        (
            "return library.shapes.SMALL",
            "import library.shapes",
            "'library' of steps_file, which a_step uses: it is library.shapes",
        ),
        ("return S", "from library.shapes import SMALL as S", "it is SMALL of library.shapes"),
        (
            "return inside()",
            "from library.shapes import inside",
            "'inside' of library.shapes.*imports from the library",
        ),
        ("return Model", "from library.mine import Model", "'Model' of library.mine.*in a step, Model is KFP's"),
        ("return Input", "from library.mine import Input", "'Input' of library.mine.*Input is KFP's"),
        ("return beside.x", "import beside", "'beside' of steps_file.*beside.py, a file that the step's container"),
        ("return use()", "from library.mine import use", "'a_step' of library.mine, which library.mine.use uses.*own"),
    ],
)
def test_what_cannot_travel_is_refused_by_name(step, tmp_path, body, top, message):
    (tmp_path / "beside.py").write_text("x = 1\n")
    mine = "class Model: ...\n\n\nfrom json import dumps as Input\n\n\ndef a_step(): ...\n\n\ndef use(): a_step()\n"
    with pytest.raises(JukeboxError, match=f"(?s)Step 'a_step' cannot carry .*{message}.*\nNext: "):
        step(body, top, mine=mine)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("def same(): ...", "def same(): ...\n"),
        ("same = 1", "def same(): ...\n"),
        ("from json import dumps as same", "def same(): ...\n"),
        ("from json import dumps as same", "from json import loads as same\n"),
        ("import json as same", "import same\n"),
    ],
)
def test_two_objects_of_one_name_are_refused(step, tmp_path, one, two):
    (tmp_path / "same.py").write_text("")
    with pytest.raises(JukeboxError, match="(?s)two different objects named 'same', of library.(one|two) and of "
                       "library.(one|two).*Next: Rename one"):  # fmt: skip
        step("return use1, use2", "from library.one import use1\nfrom library.two import use2",
             one=f"{one}\n\n\ndef use1(): return same\n", two=f"{two}\n\n\ndef use2(): return same\n")  # fmt: skip


def test_one_object_of_two_importers_is_one(step):
    source = step("return use1, use2", "from library.one import use1\nfrom library.two import use2",
                  one="from library.shapes import SMALL\nfrom json import dumps\n\n\ndef use1(): return SMALL, dumps\n",
                  two="from library.shapes import SMALL\nfrom json import dumps\n\n\ndef use2(): return SMALL, dumps\n",
                  )  # fmt: skip
    assert names(source) == ["from json import dumps", "SMALL = {'b', 'a'}", "use1", "use2"]


def test_a_step_inside_a_function_is_refused():
    outside = 1

    def a_step():
        return outside

    with pytest.raises(JukeboxError, match="uses 'outside' of the function around it.*\nNext: Define the step"):
        carry.carried(a_step)


# Sizes


def program(**sizes):
    return "".join(f"def {name}():\n    return {'x' * (size - 22 - len(name))!r}\n" for name, size in sizes.items())


def test_a_step_that_carries_too_much_is_refused_with_its_largest_definitions():
    limit = compile.STEP_LIMIT
    compile.check_sizes({"small": program(one=limit - 10)})
    with pytest.raises(JukeboxError, match=rf"Step 'big' would carry \d+,\d+ bytes of source, and {limit:,} is the most"
                       r" .*Largest: two \d+,\d+, one 10,\d+\.\nNext: "):  # fmt: skip
        compile.check_sizes({"small": program(one=100), "big": program(one=10_020, two=limit - 10_000)})


def test_a_pipeline_that_carries_too_much_is_refused_with_its_largest_definitions():
    limit = compile.PIPELINE_LIMIT
    sources = {str(number): program(shared=12_000, own=limit // 10 - 12_020) for number in range(10)}
    compile.check_sizes(sources)
    sources["10"] = program(own=1_000)
    with pytest.raises(JukeboxError, match=rf"The pipeline of 11 steps would carry \d+,\d+ bytes.*, and {limit:,} is"
                       r" the most .*Largest: shared 119,\d+, own \d+,\d+\.\nNext: "):  # fmt: skip
        compile.check_sizes(sources)


def test_a_pipeline_that_is_too_large_is_not_written(tmp_path, monkeypatch):
    from kfp import dsl

    from jukebox_helpers.pipelines import declare

    @dsl.pipeline(name="large")
    def pipeline():
        declare.step("numpy")(small)()

    monkeypatch.setattr(compile, "STEP_LIMIT", 100)
    target = tmp_path / "large.yaml"
    target.write_text("as it was\n")
    with pytest.raises(JukeboxError, match="Step 'small' would carry"):
        compile.compile_pipeline(pipeline, target)
    assert target.read_text() == "as it was\n"


READABLE = '''import os

LIMIT = 3


@staticmethod
def first(rows: int) -> str:
    """Say it.

    Returns:
        It.
    """
    # Why it is said.
    text = f"""one
      # two

    {rows}"""

    if rows:
        return text  # as it is
    return (
        "long "
        "text"
    )


class Empty(Exception):
    """Nothing else."""
'''


def test_a_step_carries_its_lines_without_docstrings_comments_annotations_and_most_of_the_indentation():
    assert (
        compile.compact(READABLE)
        == '''import os
LIMIT = 3

@staticmethod
def first(rows):
 text = f"""one
      # two

    {rows}"""
 if rows:
  return text
 return ("long " "text")

class Empty(Exception):
 pass
'''
    )


def test_a_statement_is_one_line_where_it_fits():
    long = "\n".join(f'        "a text of a long list that is number {number:02}",' for number in range(19))
    short = compile.compact(
        f"def one(\n    first,\n    second,\n):\n    return [\n{long}\n    ] + first[\n        1:\n    ]\n"
    )
    lines = short.splitlines()
    assert lines[0] == "def one(first, second,):"
    assert 300 < max(map(len, lines)) <= 400
    assert len(lines) < 6
    assert lines[-1].endswith("] + first[1:]")


@pytest.mark.parametrize(
    "source",
    [
        "def one():\n  if True:\n    return 1\n",
        "def one():\n\tif True:\n\t\treturn 1\n",
        "text = 'one\\\n    two'\n",
        'def one(): "Said on one line."\n',
    ],
    ids=["two spaces a level", "tabs", "a text that goes on in the next line", "a docstring beside its function"],
)
def test_what_would_be_another_program_in_fewer_bytes_stays_as_it_is_written(source):
    values: list[dict] = [{}, {}]
    for text, names in zip([source, compile.compact(source)], values, strict=True):
        exec(text, names)
    made = [names["one"]() if "one" in names else names["text"] for names in values]
    assert made[0] == made[1]


def small():
    return "so small that it is above a limit of a hundred bytes with the imports"
