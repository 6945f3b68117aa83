"""Prediction: a trained model that classifies files, images of Pillow and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from sepcnn.backends.machine import choose_device
from sepcnn.config.config import Config
from sepcnn.data.threads import map_in_threads
from sepcnn.errors import DataError
from sepcnn.nn.model import Net
from sepcnn.training import checkpoint
from sepcnn.training.evaluation import batch_size, to_input
from sepcnn.training.model_input import Images, ModelInput, list_of_images

MAX_READ_BATCH = 32
"""images per batch if images are read: reading takes longer, and results do not wait for it"""


class Predictor:
    """A trained model that classifies images."""

    def __init__(
        self, model: Net, class_names: tuple[str, ...], config: Config, device: str = "cpu"
    ) -> None:
        self.device = choose_device(device)
        self.model = model.to(self.device)
        self.class_names = class_names
        self.config = config

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Class probabilities of one image, float32 [classes], or of several, float32 [N, classes].

        One image is a path (str or `Path`), an image of Pillow, or an array, uint8 [H, W] or
        [H, W, C]. Several images are an array, uint8 [N, H, W, C], or a list or other iterable
        whose items are one image each, of any size.

        Images are read as in training: rotated upright, resized and converted to the model's
        channels. An image of Pillow gives the same as its file if it was opened and not changed
        or decoded yet. An array of exactly ``config.model.input_shape`` is used unchanged.

        Errors: `DataError` for a file that cannot be read. ValueError for an array of another
        shape or dtype, TypeError for another type; both messages end with what to do.
        """
        shape = self.config.model.input_shape
        given, is_single = list_of_images(images, shape)
        probabilities: list[NDArray[np.float32]] = []
        if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.shape[1:] == shape:
            size = batch_size(shape)
            for start in range(0, len(given), size):
                probabilities.extend(self._probabilities(given[start : start + size]))
        else:
            for row in self.predict_each(given):
                if isinstance(row, DataError):
                    raise row
                probabilities.append(row)
        if is_single:
            return probabilities[0]
        if not probabilities:
            return np.empty((0, len(self.class_names)), np.float32)
        return np.stack(probabilities)

    def predict_each(
        self, images: Iterable[object], on_read: Callable[[int], None] = lambda count: None
    ) -> Iterator[NDArray[np.float32] | DataError]:
        """Yield the probabilities, float32 [classes], or the error of each image, in order.

        At most a batch of images is in memory. ``on_read`` is called with the number of images that
        have been read. Errors: as `predict`, except `DataError`.
        """
        shape = self.config.model.input_shape
        size = min(MAX_READ_BATCH, batch_size(shape))
        reader = ModelInput(self.config.data.source, shape)
        waiting: list[NDArray[np.uint8] | DataError] = []
        readable = 0
        read = map_in_threads(reader.pixels_or_error, enumerate(images))
        for count, pixels in enumerate(read, 1):
            on_read(count)
            waiting.append(pixels)
            readable += not isinstance(pixels, DataError)
            if readable == size:
                yield from self._results(waiting)
                waiting, readable = [], 0
        yield from self._results(waiting)

    def _results(
        self, batch: list[NDArray[np.uint8] | DataError]
    ) -> Iterator[NDArray[np.float32] | DataError]:
        pixels = [image for image in batch if not isinstance(image, DataError)]
        rows = iter(self._probabilities(np.stack(pixels)) if pixels else ())
        for image in batch:
            yield image if isinstance(image, DataError) else next(rows)

    @torch.no_grad()
    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities, float32 [N, classes], of one batch of the model's input shape."""
        # torch does not take arrays with negative strides or without permission to write.
        batch = torch.tensor(np.ascontiguousarray(images)).to(self.device)
        probabilities = functional.softmax(self.model.logits(to_input(batch)), dim=1)
        found: NDArray[np.float32] = probabilities.cpu().numpy()
        return found


def load_predictor(path: Path | str, device: str = "cpu") -> Predictor:
    """Load a trained model from a checkpoint file or a run folder (the best, else the last).

    ``device`` is auto, cpu, cuda, cuda:1 or mps. Errors: `CheckpointError`, `InputError`.
    """
    stored = checkpoint.read(checkpoint.locate(Path(path)))
    return Predictor(stored.net(), stored.class_names, stored.config, device)
