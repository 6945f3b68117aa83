"""The training loop: a generator that yields after every step and every epoch.

The state is complete at every yield: whoever calls may save it, show it, or stop for good.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from sepcnn import randomness
from sepcnn.backends.compiled import Compiled
from sepcnn.backends.cuda_graph import GraphedStep, Inputs, Results
from sepcnn.backends.fused import FORMS
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.config.sections import EarlyStopping, Train
from sepcnn.data.augmentation import augment
from sepcnn.data.batch import Batch
from sepcnn.data.class_balance import BALANCED, weights_of_classes
from sepcnn.data.dataset import Dataset, Split
from sepcnn.data.progressive_resizing import Size, resized
from sepcnn.nn.layers.module import begin_step, constrain, penalty
from sepcnn.nn.layers.scaling import NormalizationModule
from sepcnn.nn.losses import Loss, row
from sepcnn.nn.model import Net, at_size
from sepcnn.nn.schedules import Progress
from sepcnn.training.evaluation import batch_size, score, to_input
from sepcnn.training.records import EpochRecord, Scores, StepRecord
from sepcnn.training.state import CORRECT, FIRST_BAD_STEP, IMAGES, LOSS, State, check_loss
from sepcnn.world import World


@dataclass(frozen=True)
class Plan:
    """What stays the same over a run."""

    config: Config
    machine: Machine
    steps_per_epoch: int
    class_weights: tuple[float, ...] | None = None
    nets: dict[Size, Net] = field(default_factory=dict)
    """forms of the model for smaller images, made when they are needed; they share its weights"""
    compiled: dict[Net, Compiled] = field(default_factory=dict)
    """the compiled form of each, likewise"""
    captured: GraphedStep = field(default_factory=GraphedStep)
    """the middle of a step as a CUDA graph, where the machine has it"""

    def progress(self, step: int) -> Progress:
        """Where the run stands after ``step`` completed steps."""
        return Progress(step, self.steps_per_epoch, self.config.train.epochs * self.steps_per_epoch)

    def learning_rate(self, step: int) -> float:
        """That of the step after ``step`` completed ones."""
        options = self.config.train
        return options.optimizer.learning_rate * options.schedule.factor(self.progress(step))

    def net_for(self, size: Size, model: Net) -> Net:
        """The model for images of a size: itself, or a form that shares its weights."""
        if size == self.config.model.input_shape[:2]:
            return model
        if size not in self.nets:
            self.nets[size] = at_size(model, self.config.graph(model.graph.classes, size))
        return self.nets[size]

    def is_whole(self, images: torch.Tensor) -> bool:
        """Whether a batch is no smaller last one, not worth compiling or recording for."""
        return len(images) == self.config.train.batch_size

    def logits(self, net: Net, x: torch.Tensor) -> torch.Tensor:
        """Those of a batch, in the machine's form."""
        form = self.machine.form
        if form != "compiled":
            return net.logits(x, FORMS[form])
        if not self.is_whole(x):
            return net.logits(x)
        if net not in self.compiled:
            self.compiled[net] = Compiled(net)
        return self.compiled[net].logits(x)


def steps_per_epoch(config: Config, images: Split) -> int:
    return math.ceil(len(images) / config.train.batch_size)


def train(
    config: Config,
    dataset: Dataset,
    machine: Machine,
    state: State,
    world: World | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[StepRecord | EpochRecord]:
    """Train from where ``state`` stands to the end of the run.

    ``tell`` hears what people should know of how it goes.
    """
    world = world or World()
    options = config.train
    images = dataset.train.to(machine.device)
    validation = dataset.val.to(machine.device) if dataset.val else None
    weights = weights_of_classes(options.class_weights, dataset.class_names, images.labels)
    steps = steps_per_epoch(config, images)
    plan = Plan(config, machine, steps, weights, captured=GraphedStep(tell))
    order, order_epoch = torch.empty(0), -1
    started, started_step, waited = time.perf_counter(), state.step, 0.0

    while True:
        epoch = len(state.epochs)
        if state.step == (epoch + 1) * plan.steps_per_epoch:
            # Asked before a step, so that a run killed during validation validates on resume.
            train_scores = running_scores(state, world)
            seconds = time.perf_counter() - started
            trained = min((state.step - started_step) * options.batch_size, len(images))
            val_scores = score(state.model, validation, options.loss) if validation else None
            record = EpochRecord(
                epoch=epoch + 1,
                step=state.step,
                train=train_scores,
                val=val_scores,
                learning_rate=plan.learning_rate(state.step - 1),
                seconds=seconds,
                images_per_second=trained / seconds if trained else 0.0,
                waiting=waited / seconds if trained else 0.0,
            )
            state.epochs.append(record)
            state.sums[:FIRST_BAD_STEP] = 0
            yield record
            started, started_step, waited = time.perf_counter(), state.step, 0.0
            continue
        if epoch >= options.epochs or stops_early(options.early_stopping, state):
            return

        if order_epoch != epoch:
            # There at once: a copy in each step could wait for the steps before it.
            order = order_of(options, epoch, images.labels).to(images.indices_on)
            order_epoch = epoch
        learning_rate = plan.learning_rate(state.step)
        first = (state.step - epoch * plan.steps_per_epoch) * options.batch_size
        indices = order[first : first + options.batch_size]
        begun = time.perf_counter()
        batch = images.read(indices)
        waited += time.perf_counter() - begun
        train_step(plan, state, batch, learning_rate)
        yield StepRecord(epoch + 1, state.step, learning_rate)


def train_step(plan: Plan, state: State, batch: Batch, learning_rate: float) -> None:
    """One step on a batch; nothing here waits for a GPU."""
    batch = prepare(plan, state, batch)
    net = begin(plan, state, batch)
    logits, loss, gradients = compute(plan, state, net, batch)
    update(plan, state, gradients, learning_rate)
    add_up(state, batch, logits, loss)


def prepare(plan: Plan, state: State, batch: Batch) -> Batch:
    """The images as this step sees them: augmented, in the size of this moment."""
    config = plan.config
    size = config.model.input_shape[:2]
    batch = augment(batch, config.data.augment, size, config.train.seed, state.step)
    if config.data.progressive_resizing is None:
        return batch
    return resized(batch, config.data.progressive_resizing.size(size, plan.progress(state.step)))


def begin(plan: Plan, state: State, batch: Batch) -> Net:
    """The model for images of this size, told where the run stands."""
    height, width = batch.images.shape[1:3]
    net = plan.net_for((height, width), state.model)
    if not net.training:
        net.train()
    begin_step(net, plan.config.train.seed, plan.progress(state.step))
    return net


def compute(plan: Plan, state: State, net: Net, batch: Batch) -> Results:
    """Logits, loss and gradients. What differs from step to step is in `begin` and `update`: here
    a CUDA graph would repeat what was so when it was recorded.
    """

    def work(tensors: Inputs) -> Results:
        logits, loss = forward(plan, net, Batch(*tensors))  # type: ignore[arg-type]
        return logits.detach(), loss.detach(), backward(state, loss)

    if plan.machine.graphs and plan.is_whole(batch.images):
        return plan.captured(net, work, batch.tensors())
    return work(batch.tensors())


def forward(plan: Plan, net: Net, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits, and the loss with what the regularizers add."""
    with plan.machine.autocast():
        logits = plan.logits(net, to_input(batch.images))
    loss = batch_loss(plan.config.train.loss, logits, batch, plan.class_weights)
    return logits, loss + penalty(net)


def backward(state: State, loss: torch.Tensor) -> list[torch.Tensor]:
    """The gradients, in the order of the trained weights."""
    return list(torch.autograd.grad(loss, list(state.model.trained_weights().values())))


def update(plan: Plan, state: State, gradients: list[torch.Tensor], learning_rate: float) -> None:
    """Change the weights: the step is done."""
    weights: list[torch.Tensor] = list(state.model.trained_weights().values())
    options = plan.config.train
    options.optimizer.step(weights, gradients, state.slots, learning_rate, state.step)
    constrain(state.model)
    state.step += 1


@torch.no_grad()
def add_up(state: State, batch: Batch, logits: torch.Tensor, loss: torch.Tensor) -> None:
    """What the finished step adds to the running sums of its epoch."""
    sums, count = state.sums, len(batch.labels)
    sums[LOSS] += loss.detach() * count
    sums[CORRECT] += (logits.argmax(dim=1) == batch.labels).sum()
    sums[IMAGES] += count
    first_bad = (sums[FIRST_BAD_STEP] == 0) & ~loss.detach().isfinite()
    sums[FIRST_BAD_STEP] += first_bad * state.step


def order_of(options: Train, epoch: int, labels: torch.Tensor) -> torch.Tensor:
    """The indices of the training images in the order of one epoch: int64 [N]."""
    if options.sampling == BALANCED:
        return randomness.balanced_order(options.seed, epoch, labels)
    return randomness.order(options.seed, epoch, len(labels))


def batch_loss(
    loss: Loss, logits: torch.Tensor, batch: Batch, class_weights: tuple[float, ...] | None = None
) -> torch.Tensor:
    """The sum of the weighted losses over the number of images, as Keras has it.

    An image that is mixed of two has its share of both losses, each with its class' weight.
    """

    def weighted(labels: torch.Tensor) -> torch.Tensor:
        losses = loss.each(logits, labels)
        if class_weights is None:
            return losses
        return row(class_weights, losses.dtype, losses.device)[labels] * losses

    losses = weighted(batch.labels)
    if batch.partners is not None and batch.shares is not None:
        losses = batch.shares * losses + (1 - batch.shares) * weighted(batch.partners)
    return losses.mean()


def running_scores(state: State, world: World) -> Scores:
    """Means over the epoch so far. Waits for the device. Errors: `DivergedError`."""
    loss, correct, count, first_bad_step = world.sum(state.sums).tolist()
    check_loss(first_bad_step)
    return Scores(loss / max(count, 1), correct / max(count, 1))


def stops_early(early_stopping: EarlyStopping | None, state: State) -> bool:
    """Whether the best epoch is longer ago than patience allows."""
    if early_stopping is None or state.best is None:
        return False
    return len(state.epochs) - state.best.epoch >= early_stopping.patience


@torch.no_grad()
def adapt(config: Config, dataset: Dataset, state: State) -> None:
    """Give a Normalization without statistics those of the training images, once."""
    modules = [m for m in state.model.modules() if isinstance(m, NormalizationModule) and m.adapts]
    if not modules:
        return
    total = torch.zeros(config.model.input_shape[2], dtype=torch.float64)
    squares, count = total.clone(), 0
    for indices in torch.arange(len(dataset.train)).split(batch_size(config.model.input_shape)):
        pixels = dataset.train.read(indices).images.double().flatten(0, 2)
        total += pixels.sum(0)
        squares += pixels.square().sum(0)
        count += len(pixels)
    mean = total / count
    for module in modules:
        module.adapt(mean, squares / count - mean.square(), count)
