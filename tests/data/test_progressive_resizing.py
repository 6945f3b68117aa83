"""Progressive resizing: the sizes over a run, the images, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.backends import machine
from sepcnn.config import loading
from sepcnn.config.config import Config
from sepcnn.data.batch import Batch
from sepcnn.data.progressive_resizing import ProgressiveResizing, resize_batch
from sepcnn.errors import ConfigError
from sepcnn.nn.model import with_shared_weights
from sepcnn.nn.schedules import Progress
from sepcnn.training import loop, step
from sepcnn.training.evaluation import to_input
from sepcnn.training.state import new_state
from tests.runs import write_config


def rule(**fields: object) -> ProgressiveResizing:
    return ProgressiveResizing.model_validate(fields)


def sizes(resizing: ProgressiveResizing, full: tuple[int, int]) -> list[tuple[int, int]]:
    return [resizing.size(full, Progress(step, 10, 100)) for step in range(100)]


def test_sizes_grow_in_multiples_to_the_full_size() -> None:
    found = sizes(rule(start=0.5, until="50%"), (64, 100))
    assert found == sorted(found)
    assert set(found[:50]) <= {(h, w) for h in (32, 40, 48, 56, 64) for w in range(48, 105, 8)} | {
        (64, 100)
    }
    assert found[0] == (32, 48)
    assert set(found[50:]) == {(64, 100)}


def test_images_keep_the_start_size_until_after() -> None:
    found = sizes(rule(start=0.25, after="2 epochs", until="3 epochs", multiple=4), (32, 32))
    assert set(found[:21]) == {(8, 8)}
    assert found[25] == (20, 20)
    assert set(found[30:]) == {(32, 32)}


def test_sizes_are_between_the_multiple_and_the_full_size() -> None:
    assert rule(start=0.01, until="1 epochs").sizes((28, 5))[0] == (8, 5)


@pytest.mark.parametrize("full", [(64, 64), (64, 100), (28, 5), (33, 47)], ids=str)
@pytest.mark.parametrize("multiple", [1, 7, 8])
def test_sizes_lists_every_size_that_occurs(full: tuple[int, int], multiple: int) -> None:
    resizing = rule(start=0.3, until="100%", multiple=multiple)
    seen = {resizing.size(full, Progress(step, 10, 5000)) for step in range(5001)}
    known = resizing.sizes(full)
    assert seen <= set(known)
    assert len(known) <= len(seen) + 1  # no step need meet a size between two turns


def test_after_comes_before_until() -> None:
    with pytest.raises(ValueError, match="'after' \\(3 epochs\\) is later than 'until'"):
        rule(after="3 epochs", until="2 epochs")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resized_images_equal_pillow(channels: int) -> None:
    numbers = np.random.default_rng(0)
    images = torch.tensor(numbers.integers(256, size=(4, 24, 32, channels), dtype="u1"))
    found = resize_batch(Batch(images, torch.zeros(4, dtype=torch.int64)), (16, 8)).images
    assert found.shape == (4, 16, 8, channels)
    for image, result in zip(images, found, strict=True):
        for channel in range(channels):
            pillow = Image.fromarray(image[..., channel].numpy())
            expected = np.asarray(pillow.resize((8, 16), Image.Resampling.BILINEAR)).astype(int)
            assert abs(result[..., channel].int().numpy() - expected).max() <= 1


def settings(folder: Path, resizing: str, **more: object) -> Config:
    path = write_config(folder, epochs=2, precision="float32", **more)
    return loading.load_config(path, [f"data.progressive_resizing={resizing}"])


def test_training_uses_growing_images_and_one_set_of_weights(tmp_path: Path) -> None:
    read = settings(tmp_path, "{start: 1/2, until: 1 epochs, multiple: 2}")
    hardware = machine.choose_machine("cpu", "float32")
    state = new_state(read, read.graph(3), hardware.device)
    before = {name: weight.clone() for name, weight in state.model.state_dict().items()}
    seen = []
    original = to_input

    def spy(images: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(images.shape[1:3]))
        return original(images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "to_input", spy)
        list(loop.train(read, read.open_data(), hardware, state))
    assert seen[0] == (6, 6)
    assert seen == sorted(seen)
    assert set(seen) == {(6, 6), (8, 8), (10, 10), (12, 12)}
    assert all(not torch.equal(before[n], w) for n, w in state.model.state_dict().items())


def test_a_model_for_another_size_shares_weights_and_statistics(tmp_path: Path) -> None:
    read = settings(tmp_path, "{start: 1/2, until: 1 epochs, multiple: 2}")
    net = new_state(read, read.graph(3), torch.device("cpu")).model
    form = with_shared_weights(net, read.graph(3, (7, 6)))
    own, shared = net.state_dict(keep_vars=True), form.state_dict(keep_vars=True)
    assert own.keys() == shared.keys()
    assert all(own[name] is shared[name] for name in own)
    assert form.logits(torch.zeros(2, 3, 7, 6)).shape == (2, 3)


def written(folder: Path, layers: str, resizing: str) -> Path:
    path = folder / "c.yaml"
    path.write_text(
        f"model: {{input_shape: [32, 32, 3], layers: [{layers}]}}\n"
        f"data: {{progressive_resizing: {resizing}}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("layers", "place", "message"),
    [
        (
            "Flatten, Dense: {units: 10, activation: softmax}",
            "model.layers[1].Dense",
            "needs other weights for the 16×16 images of progressive_resizing",
        ),
        (
            "Conv2D: {filters: 8, kernel_size: 17}, GlobalAveragePooling2D, "
            "Dense: {units: 10, activation: softmax}",
            "data.progressive_resizing",
            "the model does not take 16×16 images: model.layers[0].Conv2D: "
            "a 17×17 window does not fit the 16×16 input of this layer",
        ),
        (
            "Repeat: {times: 4, layers: [Residual: {layers: [MaxPooling2D: 2], "
            "shortcut: [AveragePooling2D: {pool_size: 1, strides: 2}]}]}, "
            "GlobalAveragePooling2D, Dense: {units: 10, activation: softmax}",
            "data.progressive_resizing",
            "the model does not take 24×24 images: model.layers[0].Repeat.layers[0].Residual: "
            "the output of 'layers' is 1×1×3, but the shortcut is 2×2×3",
        ),
    ],
    ids=["flatten", "window", "halves"],
)
def test_a_model_that_does_not_accept_every_size(
    layers: str, place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        loading.load_config(written(tmp_path, layers, "{start: 1/2, until: 50%}"))
    problems = [(problem.path, problem.message) for problem in caught.value.problems]
    assert problems == [(place, message)]
