"""One training step: augment a batch, compute its gradients, change the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sepcnn.backends.compiled import Compiled
from sepcnn.backends.cuda_graph import GraphedStep, Inputs, Results
from sepcnn.backends.fused import FORMS
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.data.augmentation import augment
from sepcnn.data.batch import Batch
from sepcnn.data.progressive_resizing import Size, resize_batch
from sepcnn.nn.layers.module import begin_step, constrain, penalty
from sepcnn.nn.losses import Loss, cached_tensor
from sepcnn.nn.model import Net, with_shared_weights
from sepcnn.nn.schedules import Progress
from sepcnn.training.evaluation import to_input
from sepcnn.training.state import CORRECT, FIRST_BAD_STEP, IMAGES, LOSS, State


class TrainingStep:
    """Takes the steps of one run.

    It holds the settings of the run, and the forms of the model in which the run computes. A form
    is made when it is first needed; all forms share the weights of ``State.model``. Nothing here
    waits for a GPU.
    """

    def __init__(
        self,
        config: Config,
        machine: Machine,
        steps_per_epoch: int,
        class_weights: tuple[float, ...] | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``class_weights``: one factor per class. ``tell`` is called with notes for the user."""
        self.config = config
        self.machine = machine
        self.steps_per_epoch = steps_per_epoch
        self.class_weights = class_weights
        self.graphed = GraphedStep(tell)
        self.nets: dict[Size, Net] = {}
        """the model for smaller images"""
        self.compiled: dict[Net, Compiled] = {}

    def progress(self, step: int) -> Progress:
        """The position in the run after ``step`` completed steps."""
        return Progress(step, self.steps_per_epoch, self.config.train.epochs * self.steps_per_epoch)

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step that follows ``step`` completed steps."""
        options = self.config.train
        return options.optimizer.learning_rate * options.schedule.factor(self.progress(step))

    def take(self, state: State, batch: Batch, learning_rate: float) -> None:
        """Take one step on a batch as the split returns it."""
        batch = self.prepare(state, batch)
        net = self.begin(state, batch)
        logits, loss, gradients = self.compute(state, net, batch)
        self.update(state, gradients, learning_rate)
        add_to_sums(state, batch, logits, loss)

    def prepare(self, state: State, batch: Batch) -> Batch:
        """Augment the batch and resize it to the image size of this step."""
        data, size = self.config.data, self.config.model.input_shape[:2]
        batch = augment(batch, data.augment, size, self.config.train.seed, state.step)
        if data.progressive_resizing is None:
            return batch
        return resize_batch(batch, data.progressive_resizing.size(size, self.progress(state.step)))

    def begin(self, state: State, batch: Batch) -> Net:
        """The model for images of the batch's size, ready for this step."""
        height, width = batch.images.shape[1:3]
        net = self._net_for((height, width), state.model)
        if not net.training:
            net.train()
        begin_step(net, self.config.train.seed, self.progress(state.step))
        return net

    def compute(self, state: State, net: Net, batch: Batch) -> Results:
        """Logits, loss and gradients.

        Everything that differs between steps, except the batch, is set in `begin` and `update`: a
        CUDA graph repeats the values that Python had when it was recorded.
        """

        def work(tensors: Inputs) -> Results:
            logits, loss = self.forward(net, Batch(*tensors))  # type: ignore[arg-type]
            return logits.detach(), loss.detach(), backward(state, loss)

        if self.machine.graphs and self._is_whole(batch.images):
            return self.graphed(net, work, batch.tensors())
        return work(batch.tensors())

    def forward(self, net: Net, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits, and the loss including the penalties of the regularizers."""
        with self.machine.autocast():
            logits = self._logits(net, to_input(batch.images))
        loss = batch_loss(self.config.train.loss, logits, batch, self.class_weights)
        return logits, loss + penalty(net)

    def update(self, state: State, gradients: list[torch.Tensor], learning_rate: float) -> None:
        """Change the weights and count the step."""
        weights: list[torch.Tensor] = list(state.model.trained_weights().values())
        optimizer = self.config.train.optimizer
        optimizer.step(weights, gradients, state.slots, learning_rate, state.step)
        constrain(state.model)
        state.step += 1

    def _net_for(self, size: Size, model: Net) -> Net:
        """The model, or a form of it for smaller images that shares its weights."""
        if size == self.config.model.input_shape[:2]:
            return model
        if size not in self.nets:
            self.nets[size] = with_shared_weights(
                model, self.config.graph(model.graph.classes, size)
            )
        return self.nets[size]

    def _is_whole(self, images: torch.Tensor) -> bool:
        """Whether a batch is full. A smaller last one is not worth compiling or recording."""
        return len(images) == self.config.train.batch_size

    def _logits(self, net: Net, x: torch.Tensor) -> torch.Tensor:
        form = self.machine.form
        if form != "compiled":
            return net.logits(x, FORMS[form])
        if not self._is_whole(x):
            return net.logits(x)
        if net not in self.compiled:
            self.compiled[net] = Compiled(net)
        return self.compiled[net].logits(x)


def backward(state: State, loss: torch.Tensor) -> list[torch.Tensor]:
    """The gradients, in the order of the trained weights."""
    return list(torch.autograd.grad(loss, list(state.model.trained_weights().values())))


@torch.no_grad()
def add_to_sums(state: State, batch: Batch, logits: torch.Tensor, loss: torch.Tensor) -> None:
    """Add the results of a finished step to the running sums of its epoch."""
    sums, count = state.sums, len(batch.labels)
    sums[LOSS] += loss.detach() * count
    sums[CORRECT] += (logits.argmax(dim=1) == batch.labels).sum()
    sums[IMAGES] += count
    first_bad = (sums[FIRST_BAD_STEP] == 0) & ~loss.detach().isfinite()
    sums[FIRST_BAD_STEP] += first_bad * state.step


def batch_loss(
    loss: Loss, logits: torch.Tensor, batch: Batch, class_weights: tuple[float, ...] | None = None
) -> torch.Tensor:
    """The sum of the weighted losses divided by the number of images, as in Keras.

    The loss of a mixed image is the mean of the losses for both labels, weighted by their shares.
    Each label has the weight of its class.
    """

    def weighted(labels: torch.Tensor) -> torch.Tensor:
        losses = loss.per_image(logits, labels)
        if class_weights is None:
            return losses
        return cached_tensor(class_weights, losses.dtype, losses.device)[labels] * losses

    losses = weighted(batch.labels)
    if batch.second_labels is not None and batch.first_shares is not None:
        shares = batch.first_shares
        losses = shares * losses + (1 - shares) * weighted(batch.second_labels)
    return losses.mean()
