"""The shipped configs can be copied, for other images too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.config.loading import load_config
from sepcnn.data.sources.folder import Folder
from sepcnn.starter import shipped
from tests.check.photos import write_photos
from tests.conftest import CONFIGS


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("name", shipped.names())
def test_the_summary_is_a_sentence(name: str) -> None:
    summary = shipped.summary(shipped.read(name))
    assert summary.endswith(".")
    assert 20 < len(summary) < 125


def test_an_abbreviation_does_not_end_the_summary() -> None:
    text = "# yaml-language-server: x\n# A net (Doe et al. 2020,\n# p. 3). It is small.\nmodel: a\n"
    assert shipped.summary(text) == "A net (Doe et al. 2020, p. 3)."
    assert shipped.summary("model: a\n") == ""


@pytest.mark.parametrize("name", shipped.names())
def test_a_copy_reads_the_images_of_a_folder(name: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "my photos", (24, 24), cat=4, dog=4)
    path = tmp_path / "copy.yaml"
    path.write_text(shipped.for_images(shipped.read(name), Path("my photos")))
    config, original = load_config(path), load_config(CONFIGS / f"{name}.yaml")
    assert isinstance(config.data.source, Folder)
    assert config.data.source.path == tmp_path / "my photos"
    assert config.open_data().class_names == ("cat", "dog")
    # Only mobilenet.yaml does not end in a Dense layer.
    assert bool(shipped.class_mismatch(config, classes=2)) == (name == "mobilenet")
    assert config.train == original.train
    assert config.data.augment == original.data.augment
    assert config.model.layers[:-1] == original.model.layers[:-1]


def test_comments_are_kept_except_on_a_replaced_source() -> None:
    for name in shipped.names():
        text = shipped.read(name)
        lost = set(comments(text)) - set(comments(shipped.for_images(text, Path("photos"))))
        assert len(lost) <= 1
        assert all("data set" in comment or "not included" in comment for comment in lost)
