"""The quick selection of tests: `pytest -m "not exhaustive"`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, product

import pytest

from tests.covering import SIZES, Case, cover

pytest_plugins = ["pytester"]

INI = """\
[pytest]
addopts = --strict-markers
markers =
    exhaustive
    covering
"""
CONFTEST = """\
import pytest
from tests.covering import mark_exhaustive

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    mark_exhaustive(items)
"""
MODULE = """\
import pytest

@pytest.fixture(params=[1, 3])
def threads(request):
    return request.param

@pytest.mark.covering({what!r})
@pytest.mark.parametrize("shape", [1, 2, 3])
@pytest.mark.parametrize(("kind", "size"), [("a", 1), ("b", 1), ("b", 2), ("c", 3)])
def test_product(shape, kind, size, threads):
    pass

@pytest.mark.covering({what!r})
@pytest.mark.parametrize("name", "abcde")
def test_list(name):
    pass

def test_without_a_marker():
    pass
"""


def full_product(*lengths: int) -> list[Case]:
    names = [f"axis {number}" for number in range(len(lengths))]
    return [dict(zip(names, values, strict=True)) for values in product(*map(range, lengths))]


def with_gaps() -> list[Case]:
    """Combinations of three values in which not all pairs occur."""
    return [case for case in full_product(4, 5, 3) if (case["axis 0"] + case["axis 1"]) % 3]


def combined(cases: Sequence[Case], size: int) -> set[tuple[tuple[str, Hashable], ...]]:
    return {values for case in cases for values in combinations(sorted(case.items()), size)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(
    "cases",
    [full_product(7), full_product(2, 2), full_product(4, 9, 2, 5, 2, 2), with_gaps()],
    ids=["one axis", "two axes", "six axes", "with gaps"],
)
def test_the_kept_cases_cover_every_combination(cases: list[Case], size: int) -> None:
    kept = [cases[number] for number in cover(cases, size)]
    assert combined(kept, size) == combined(cases, size)


@pytest.mark.parametrize(
    ("size", "lengths", "most"), [(1, (10, 9, 5, 2), 10), (2, (10, 9, 5, 2), 100), (2, (2, 2), 4)]
)
def test_few_cases_are_kept(size: int, lengths: tuple[int, ...], most: int) -> None:
    assert len(cover(full_product(*lengths), size)) <= most


def test_the_first_case_is_kept_and_the_order_stays() -> None:
    kept = cover(full_product(3, 4, 2), 2)
    assert kept[0] == 0
    assert kept == sorted(set(kept))


@pytest.mark.parametrize(
    ("what", "of_product", "of_list"), [("one", 1, 1), ("values", 4, 5), ("pairs", 12, 5)]
)
def test_the_other_cases_are_marked(
    pytester: pytest.Pytester, what: str, of_product: int, of_list: int
) -> None:
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(MODULE.format(what=what))
    pytester.inline_run().assertoutcome(passed=3 * 4 * 2 + 5 + 1)
    quick = pytester.inline_run("-m", "not exhaustive")
    quick.assertoutcome(passed=of_product + of_list + 1)
