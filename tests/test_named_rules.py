"""Every rule and pitfall that is promised has a test that names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

HERE = Path(__file__).parent
PITFALLS = {*range(1, 42)}
RULES = {*range(1, 80)}

_PITFALL = re.compile(r"(?<![A-Za-z0-9])T(\d{1,2})(?!\d)")
_RULE = re.compile(r"(?<![A-Za-z])[Rr]ules?[ _]((?:\d{1,2}(?:, | and | to |_|-)?)+)")


def named(path: Path) -> Iterator[str]:
    """Names and docstrings of the tests in *path*, and the docstrings of their classes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name
            yield node.name.replace("_", " ")
            yield ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef | ast.Module):
            yield ast.get_docstring(node) or ""


def numbers(text: str) -> Iterator[int]:
    """``6, 7 and 9 to 11`` as numbers."""
    for match in re.finditer(r"(\d+)(?: to |-)(\d+)", text):
        yield from range(int(match[1]), int(match[2]) + 1)
    yield from map(int, re.findall(r"\d+", text))


class NamedTests(SynchronousTestCase):
    """One look over all tests."""

    def test_every_pitfall_and_every_rule_has_a_test_by_name(self) -> None:
        texts = list(chain.from_iterable(map(named, sorted(HERE.rglob("test_*.py")))))
        pitfalls = {int(found) for text in texts for found in _PITFALL.findall(text)}
        rules = {n for text in texts for found in _RULE.findall(text) for n in numbers(found)}
        self.assertEqual(sorted(PITFALLS - pitfalls), [])
        self.assertEqual(sorted(RULES - rules), [])
