"""`sepcnn check` reports moving statistics that cannot warm up."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.check.normalization import moving_statistics
from sepcnn.config.loading import load_config
from tests.check.photos import context_of
from tests.cold import write_cold_config


@pytest.mark.parametrize("momentum", [0.99, 0.96])
def test_moving_statistics_that_cannot_warm_up_are_a_warning(
    tmp_path: Path, momentum: float
) -> None:
    path = write_cold_config(tmp_path, f"{{momentum: {momentum}}}")
    found = list(moving_statistics(context_of(load_config(path))))
    if momentum == 0.96:
        assert found == []
        return
    (finding,) = found
    assert (finding.kind, finding.severity) == ("moving_statistics", "warning")
    assert "30 % of their initial values (0.99^120)" in finding.message
    assert "{momentum: 0.96}" in finding.hint


def test_images_that_cannot_be_opened_have_a_finding_of_their_own(tmp_path: Path) -> None:
    path = write_cold_config(tmp_path)
    (tmp_path / "prototypes.npz").write_bytes(b"damaged")
    assert list(moving_statistics(context_of(load_config(path)))) == []
