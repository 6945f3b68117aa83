"""A few cases of a test with many parameters that cover its values, or its pairs of values.

A test with many or slow cases takes a marker:

- ``@pytest.mark.covering("pairs")``: keep cases in which any two values that occur together in
  some case occur together.
- ``@pytest.mark.covering("values")``: keep cases in which each value of each parameter occurs.
- ``@pytest.mark.covering("one")``: keep the first case.

The other cases are marked ``exhaustive``: ``pytest`` runs them, ``pytest -m "not exhaustive"`` does
not. The choice depends on the cases alone, so that it is the same in each run and process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

import pytest

Case = Mapping[str, Hashable]
"""parameter → what distinguishes its value"""

SIZES = {"one": 0, "values": 1, "pairs": 2}


def cover(cases: Sequence[Case], size: int) -> list[int]:
    """The numbers of cases that cover all combinations of ``size`` values which occur.

    Greedy: cases that cover the most new combinations come first. The result is small, not
    necessarily the smallest.
    """
    combined = [set(combinations(sorted(case.items()), size)) for case in cases]
    missing = set[tuple[tuple[str, Hashable], ...]]().union(*combined)
    kept = []
    for least in range(max(map(len, combined), default=0), 0, -1):
        for number, values in enumerate(combined):
            if missing and len(values & missing) >= least:
                missing -= values
                kept.append(number)
    return sorted(kept)


def values_of(item: pytest.Function) -> Case:
    """The values of a case; names that one ``parametrize`` lists together are one parameter."""
    values = {name: id(value) for name, value in item.callspec.params.items()}
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0]
        names = names.replace(",", " ").split() if isinstance(names, str) else names
        values[",".join(names)] = tuple([values.pop(name) for name in names])
    return values


def mark_exhaustive(items: Iterable[pytest.Item]) -> None:
    """Mark the cases of each test with the ``covering`` marker that are not needed to cover it."""
    tests = defaultdict(list)
    for item in items:
        if item.get_closest_marker("covering"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for items_of_test in tests.values():
        (what,) = items_of_test[0].get_closest_marker("covering").args
        cases = list(map(values_of, items_of_test))
        size = min(SIZES[what], len(cases[0]))  # a test of one parameter has no pairs
        for number in set(range(len(cases))).difference(cover(cases, size)):
            items_of_test[number].add_marker("exhaustive")
