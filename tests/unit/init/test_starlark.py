"""What a Starlark file calls is known as far as its text says."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.init import starlark
from sandbox.init.starlark import UNKNOWN, Call, Unreadable


def values(text: str, **known: Any) -> list[Any]:
    """Return the first arguments of the calls of `f`, and the names of the other calls."""
    found = starlark.calls(text, known, {"os.path.join": starlark.joined})
    return [call.args[0] if call.name == "f" else call.name for call in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f('a' + 'b')", ["ab"]),
        ("x = ['a']\nx += ['b']\nf(x)", [["a", "b"]]),
        ("f({'a': {'b': 1}}['a']['b'])", [1]),
        ("f(['a', 'b'][-1])", ["b"]),
        ("f('{}-{name}:{}'.format('a', 2, name='b'))", ["a-b:2"]),
        ("f('{a} {0}'.format(1, a=2))", ["2 1"]),
        ("f('%s/%d' % ('a', 2))", ["a/2"]),
        ("f(', '.join(['a', 'b']))", ["a, b"]),
        ("f(os.path.join('a', 'b'))", ["a/b"]),
        ("f({'a': 1}.get('b', 'c'))", ["c"]),
        ("f(['%s.yaml' % x for x in ['a', 'b']])", [["a.yaml", "b.yaml"]]),
        ("f('yes' if 'a' in 'cat' else 'no')", ["yes"]),
        ("f(not 1 != 1)", [True]),
        ("for key, value in {'a': 1}.items(): f(key)", ["a"]),
        ("for x in ['a', 'b', 'c', 'd']:\n  if x == 'b': continue\n  if x == 'd': break\n  f(x)", ["a", "c"]),
        ("def g(x, y='z'):\n  f(x + y)\n  return\n  f('never')\ng('a')\ng('a', y='b')", ["az", "ab"]),
        ("if name == 'posix': f(1)\nelse: f(2)", [1]),
        ("load('ext://x', 'y')", ["load"]),
        ("f(1)\nbreak\nf(2)", [1]),
        ("x = []\nfor y in ['a', 'b']:\n  x.append(y)\nx.extend(['c'])\nf(x)", [["a", "b", "c"]]),
    ],
)
def test_value_that_the_text_says_is_known(text: str, expected: list[Any]) -> None:
    assert values(text, name="posix") == expected


@pytest.mark.parametrize(
    "text",
    [
        "f(os.environ['A'])",
        "f(x)",
        "f('a' + x)",
        "f('{:>9999999}'.format('a'))",
        "f('{0.real}'.format(1))",
        "f('%9999999s' % 'a')",
        "f('a' * 9999999)",
        "f(['a'][3])",
        "f('a'.upper(x))",
        "f(g().h)",
        "x = 'a'\nfor _ in [" + "1," * 40 + "]: x += x\nf(x)",
        "x = ['a']\nfor _ in [" + "1," * 40 + "]: x += x\nf(x)",
        "def g(): return 'a'\nf(g())",
        "x = 'a'\nif y: x = 'b'\nf(x)",
        "x = 'a'\nfor y in z: x = y\nf(x)",
        "x = 'a'\nx, y = z\nf(x)",
        "x = {'a': 'b'}\nx['a'] = y\nf(x)",
        "x = {'a': 'b'}\nx.update(a='c')\nf(x)",
        "x = 1\nx -= 1\nf(x)",
        "x = ['a']\nx.extend(y)\nf(x)",
    ],
)
def test_value_that_the_text_does_not_say_is_unknown(text: str) -> None:
    assert values(text)[-1] is UNKNOWN


def test_call_that_nothing_answers_is_a_value() -> None:
    (found,) = values("x = sync('a', remote='b')\nf(x)")
    assert found == Call("sync", ("a",), {"remote": "b"}, 1)
    assert found.bound("local", "remote") == {"local": "a", "remote": "b"}


def test_branch_and_loop_about_the_unknown_name_their_calls() -> None:
    text = "if config.parse():\n  f(g())\nelse:\n  h.i()\nfor x in local('ls'): f(x)"
    found = list(starlark.calls(text, {}, {}))
    assert [(one.name, sorted(one.args), one.line) for one in found] == [
        ("if", ["config.parse", "f", "g", "h.i"], 1),
        ("for", ["f", "local"], 5),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "f(",
        "f('\0')",
        "def g(): g()\ng()",
        "f(" + "(" * 5000 + ")" * 5000 + ")",
        "x = [" + "1," * 200 + "]\nfor a in x:\n  for b in x:\n    f(1)",
    ],
)
def test_text_that_is_no_starlark_or_takes_too_long_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        values(text)
