"""What is said to people: counts have the noun that fits, and what went wrong begins as a sentence does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import tui
from tui.core import errors
from tui.core.words import counted

_SOURCES = sorted(Path(tui.__file__).parent.rglob("*.py"))
_ERRORS = {
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.KitescopeError)
}


@pytest.mark.parametrize(
    ("count", "nouns", "said"),
    [
        (0, ("vector",), "0 vectors"),
        (1, ("vector",), "1 vector"),
        (1_797, ("vector",), "1,797 vectors"),
        (1, ("index", "indexes"), "1 index"),
        (2, ("index", "indexes"), "2 indexes"),
    ],
)
def test_one_is_not_many(count: int, nouns: tuple[str, ...], said: str) -> None:
    assert counted(count, *nouns) == said


def _naive(source: str) -> Iterator[tuple[int, str]]:
    """Counts with a noun that is always plural: the line, and the noun."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, after in pairwise(node.values):
                if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                    continue
                noun = re.match(r" ([a-z-]{2,}s)\b", str(after.value))
                if noun and value.format_spec is not None and ast.unparse(value.format_spec) == "f','":
                    yield node.lineno, noun[1]


def test_no_noun_is_plural_whatever_its_count() -> None:
    assert list(_naive("f'{n:,} vectors of {name} {m:,} samples'")) == [(1, "vectors"), (1, "samples")]
    assert not [(path, found) for path in _SOURCES for found in _naive(path.read_text())]


def _sentences(source: str) -> Iterator[tuple[int, str]]:
    """What errors are made with: the line, and the words that it begins with, none where a value does."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id not in _ERRORS:
            continue
        for given in node.args[:2]:
            first = given.values[0] if isinstance(given, ast.JoinedStr) else given
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def test_what_errors_say_begins_with_a_capital() -> None:
    said = [(path, line, text) for path in _SOURCES for line, text in _sentences(path.read_text())]
    assert len(said) > 300
    # A remedy may be a command to run.
    small = [one for one in said if one[2][:1].islower() and not one[2].startswith(("pip ", "chmod "))]
    assert not small
