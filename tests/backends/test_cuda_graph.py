"""Steps as CUDA graphs: a tape on the CPU shows that they give what steps without them give.

With a GPU the real thing is compared, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sepcnn.backends import cuda_graph, machine
from sepcnn.backends.cuda_graph import WARM_UP, GraphedStep, Inputs, Recording, Results
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.batch import Batch
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.normalization import BatchRenormalizationModule
from sepcnn.nn.losses import LOSSES
from sepcnn.nn.schedules import Progress
from sepcnn.training import checkpoint, loop
from sepcnn.training.records import EpochRecord, StepRecord
from sepcnn.training.state import State, new_state
from sepcnn.training.step import TrainingStep, backward
from tests.nn.layers.test_every_layer import ROWS
from tests.tape import Tape

CPU = torch.device("cpu")
EAGER, GRAPHS = Machine(CPU, "float32", 1), Machine(CPU, "float32", 1, graphs=True)
FACTS = {"class_names": list("abc"), "counts": {}, "fingerprint": "", "decoder": None}
IMAGES, CLASSES, BATCH, STEPS_AN_EPOCH = 20, 3, 8, 3
WEIGHTS = (0.5, 1.0, 2.0)
NORMALIZATION = "{BatchNormalization: {momentum: 0.9}}"
RENORM = (
    "{BatchNormalization: {momentum: 0.9, renorm: true, "
    "renorm_clipping: {rmin: paper, dmax: 5, rmax: {start: 1, end: 3, until: 6 steps}}}}"
)
CONVOLUTION = "{Conv2D: {filters: 4, kernel_size: 3}}"
SAME = "{Conv2D: {filters: 4, kernel_size: 3, padding: same}}"
BRANCH = f"{{Residual: {{layers: [{SAME}, {{StochasticDepth: 0.3}}]}}}}"
HEAD = "GlobalAveragePooling2D, {Dense: {units: auto, activation: softmax}}"
RULES = "kernel_regularizer: l2, kernel_constraint: max_norm"
NETS = {
    "normalization": f"{CONVOLUTION}, {NORMALIZATION}, ReLU, {HEAD}",
    "renormalization": f"{CONVOLUTION}, {RENORM}, ReLU, {HEAD}",
    "random": (
        f"{{GaussianNoise: 0.1}}, {CONVOLUTION}, {BRANCH}, {{SpatialDropout2D: 0.3}}, "
        f"MaxPooling2D, {{Dropout: 0.3}}, {HEAD}"
    ),
    "regularizers": f"GlobalAveragePooling2D, {{Dense: {{units: 4, {RULES}}}}}, {HEAD[24:]}",
    "all": f"{CONVOLUTION}, {RENORM}, ReLU, {BRANCH}, {NORMALIZATION}, {{Dropout: 0.3}}, {HEAD}",
}
DATA = {
    "whole images": "",
    "mixed images": "augment: [RandomFlip, MixUp, CutMix]",
    "growing images": "progressive_resizing: {start: 1/2, until: 6 steps, multiple: 2}",
}
with_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """Recording on tapes: all of the test, the first first."""
    monkeypatch.setattr(cuda_graph, "CudaRecorder", Tape)
    monkeypatch.setattr(Tape, "instances", [])
    return Tape.instances


def config_of(folder: Path, layers: str = NETS["all"], data: str = "", more: str = "") -> Config:
    path = folder / "config.yaml"
    path.write_text(
        f"model: {{input_shape: [12, 12, 3], layers: [{{Rescaling: 1/255}}, {layers}]}}\n"
        f"data: {{source: {{Arrays: none.npz}}, {data}}}\n"
        f"train: {{batch_size: {BATCH}, epochs: 3, optimizer: {{Adam: 0.01}}, {more}}}\n"
    )
    return load_config(path)


def images_of(classes: int = CLASSES, device: torch.device = CPU) -> InMemorySplit:
    """Two whole batches and a smaller one, of which each is an epoch."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (IMAGES, 12, 12, 3), dtype=torch.uint8, generator=generator)
    return InMemorySplit(images, torch.arange(IMAGES) % classes).to(device)


def go(
    config: Config, hardware: Machine, state: State, steps: int, classes: int = CLASSES
) -> TrainingStep:
    split = images_of(classes, hardware.device)
    weights = WEIGHTS if config.train.class_weights else None
    plan = TrainingStep(config, hardware, STEPS_AN_EPOCH, weights)
    batches = torch.arange(IMAGES).split(BATCH)
    for step in range(state.step, state.step + steps):
        batch = split.read(batches[step % STEPS_AN_EPOCH].to(split.indices_on))
        plan.take(state, batch, plan.learning_rate(step))
    return plan


def trained(
    config: Config, hardware: Machine, steps: int = 9, classes: int = CLASSES
) -> tuple[State, TrainingStep]:
    state = new_state(config, config.graph(classes), hardware.device)
    return state, go(config, hardware, state, steps, classes)


def assert_equal(ours: State, theirs: State) -> None:
    """Weights, statistics, slots and sums, bit for bit; and the sums are numbers."""
    assert ours.step == theirs.step
    first, second = ours.tensors(), theirs.tensors()
    assert list(first) == list(second)
    assert all(tensor.isfinite().all() for tensor in first.values())
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def assert_close(ours: State, theirs: State) -> None:
    second = theirs.tensors()
    for name, tensor in ours.tensors().items():
        torch.testing.assert_close(tensor, second[name], rtol=2e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("net", NETS)
def test_replayed_steps_are_the_steps(
    net: str, data: str, tmp_path: Path, tapes: list[Tape]
) -> None:
    """Two of three batches are whole, and are recorded where they have another size than before."""
    config = config_of(tmp_path, NETS[net], DATA[data], "class_weights: balanced")
    graphs, plan = trained(config, GRAPHS)
    eager, _ = trained(config, EAGER)
    assert plan.graphed.failure is None
    assert len(tapes) == (4 if data == "growing images" else 1)
    assert sum(tape.replays for tape in tapes) == 6
    assert_equal(graphs, eager)


def test_bfloat16(tmp_path: Path, tapes: list[Tape]) -> None:
    """Weights are cast within the recording, not kept from before."""
    config = config_of(tmp_path, NETS["all"])
    graphs, _ = trained(config, replace(GRAPHS, precision="bfloat16"))
    assert [tape.replays for tape in tapes] == [6]
    assert_equal(graphs, trained(config, replace(EAGER, precision="bfloat16"))[0])


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, tmp_path: Path, tapes: list[Tape]) -> None:
    config = config_of(tmp_path, f"{ROWS[name]}, Flatten, {{Dense: auto}}, Softmax")
    graphs, _ = trained(config, GRAPHS, 3)
    eager, _ = trained(config, EAGER, 3)
    assert [tape.replays for tape in tapes] == [2]
    assert_equal(graphs, eager)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name: str, tmp_path: Path, tapes: list[Tape]) -> None:
    outputs = "1, activation: sigmoid" if LOSSES[name].is_binary else "3, activation: softmax"
    layers, more = f"Flatten, {{Dense: {{units: {outputs}}}}}", f"loss: {name}"
    config, classes = config_of(tmp_path, layers, more=more), 2 if LOSSES[name].is_binary else 3
    graphs, _ = trained(config, GRAPHS, 3, classes)
    eager, _ = trained(config, EAGER, 3, classes)
    assert [tape.replays for tape in tapes] == [2]
    assert_equal(graphs, eager)


@pytest.mark.usefixtures("_without_kernels")
def test_compiled_pieces_are_recorded(tmp_path: Path, tapes: list[Tape]) -> None:
    config = config_of(tmp_path, NETS["all"])
    compiled = replace(GRAPHS, form="compiled")
    graphs, plan = trained(config, compiled)
    assert plan.graphed.failure is None
    assert [tape.replays for tape in tapes] == [6]
    assert_equal(graphs, trained(config, replace(compiled, graphs=False))[0])


def recorded(config: Config, state: State) -> Recording:
    """The first step's, which is not taken."""
    plan = TrainingStep(config, GRAPHS, STEPS_AN_EPOCH)
    batch = images_of().read(torch.arange(BATCH))
    net = plan.begin(state, batch)

    def work(tensors: Inputs) -> Results:
        logits, loss = plan.forward(net, Batch(*tensors))  # type: ignore[arg-type]
        return logits.detach(), loss.detach(), backward(state, loss)

    return Recording(net, work, batch.tensors())


def test_warming_up_leaves_no_trace(tmp_path: Path, tapes: list[Tape]) -> None:
    """Nor does what is recorded."""
    config = config_of(tmp_path, NETS["all"])
    state, untouched = (new_state(config, config.graph(CLASSES), CPU) for _ in range(2))
    places = {name: tensor.data_ptr() for name, tensor in state.tensors().items()}
    recording = recorded(config, state)
    assert_equal(state, untouched)
    recording.replay(recording.inputs)
    moved = state.model.state_dict()["batch_normalization.moving_mean"]
    assert not torch.equal(moved, untouched.model.state_dict()["batch_normalization.moving_mean"])
    assert places == {name: tensor.data_ptr() for name, tensor in state.tensors().items()}


def test_a_run_goes_on_bit_for_bit(tmp_path: Path, tapes: list[Tape]) -> None:
    config = config_of(tmp_path, NETS["all"])
    whole, _ = trained(config, GRAPHS, 8)
    first, _ = trained(config, GRAPHS, 4)
    checkpoint.save(tmp_path / "a.safetensors", config, FACTS, GRAPHS.facts(), first)
    second = checkpoint.read(tmp_path / "a.safetensors").state(config, CPU)
    go(config, GRAPHS, second, 4)
    assert len(tapes) == 3
    assert_equal(whole, second)


def run(config: Config, hardware: Machine) -> tuple[State, list[str], list[EpochRecord]]:
    """A whole run of the loop, with validation; what it tells and its epochs."""
    state, told = new_state(config, config.graph(CLASSES), CPU), []
    split = images_of()
    dataset = Dataset(("a", "b", "c"), split, split, None)
    records = list(loop.train(config, dataset, hardware, state, tell=told.append))
    assert sum(isinstance(record, StepRecord) for record in records) == 9
    return state, told, [record for record in records if isinstance(record, EpochRecord)]


def test_a_whole_run(tmp_path: Path, tapes: list[Tape]) -> None:
    config = config_of(tmp_path, NETS["all"])
    (graphs, told, ours), (eager, _, theirs) = run(config, GRAPHS), run(config, EAGER)
    assert told == []
    assert [tape.replays for tape in tapes] == [6]
    assert [(one.train, one.val) for one in ours] == [(one.train, one.val) for one in theirs]
    assert_equal(graphs, eager)


@pytest.mark.parametrize("late", [False, True])
def test_where_recording_fails(
    late: bool, tmp_path: Path, tapes: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything was recorded, or after all was, with every statistic moved."""
    record = Tape.record

    def failing(self: Tape, *arguments: object) -> object:
        if late:
            record(self, *arguments)
        raise RuntimeError("CUDA error: operation not permitted\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(Tape, "record", failing)
    config = config_of(tmp_path, NETS["all"])
    (graphs, told, ours), (eager, _, theirs) = run(config, GRAPHS), run(config, EAGER)
    why = "CUDA error: operation not permitted"
    assert told == [f"training continues without CUDA graphs, which failed: {why}"]
    assert len(tapes) == 1
    assert [(one.train, one.val) for one in ours] == [(one.train, one.val) for one in theirs]
    assert_equal(graphs, eager)


def test_other_errors_are_not_swallowed(
    tmp_path: Path, tapes: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Tape, *_: object) -> object:
        raise KeyError("a bug")

    monkeypatch.setattr(Tape, "record", failing)
    with pytest.raises(KeyError):
        trained(config_of(tmp_path), GRAPHS)


def test_a_number_of_the_host_is_found_out(
    tmp_path: Path, tapes: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits as numbers instead of buffers would stay those of the first step."""
    config = config_of(tmp_path, NETS["renormalization"])
    eager, _ = trained(config, EAGER)

    def begin_step(
        self: BatchRenormalizationModule, _: int, progress: Progress, *__: object
    ) -> None:
        for limit, value in self.clipping.at(progress).items():
            self._buffers.pop(limit, None)
            object.__setattr__(self, limit, value)

    monkeypatch.setattr(BatchRenormalizationModule, "begin_step", begin_step)
    assert_equal(trained(config, EAGER)[0], eager)
    with pytest.raises(AssertionError):
        assert_equal(trained(config, GRAPHS)[0], eager)


WORKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "reads a value": lambda x: x * x.sum().item(),
    "branches on a value": lambda x: x * 2 if x.sum() > 0 else x,
    "has a shape of values": lambda x: x.masked_select(x > 0),
    "takes numbers of the host": lambda x: x * torch.tensor([2.0]),
    "draws from a generator of its own": lambda x: x.bernoulli(generator=torch.Generator()),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_a_graph_could_not_hold_is_not_recorded(name: str, tapes: list[Tape]) -> None:
    told: list[str] = []
    images = torch.ones((2, 3, 3, 1), dtype=torch.uint8)

    def work(tensors: Inputs) -> Results:
        found = WORKS[name](tensors[0].float())
        return found, found.sum(), [found]

    does = GraphedStep(told.append)
    for _ in range(3):
        does(torch.nn.Identity(), work, (images, torch.zeros(2)))
    assert len(told) == len(tapes) == 1


def test_how_often_work_is_done(tapes: list[Tape]) -> None:
    calls: list[Inputs] = []

    def work(tensors: Inputs) -> Results:
        calls.append(tensors)
        found = tensors[0].float()
        return found, found.sum(), [found]

    does = GraphedStep()
    for value in range(1, 5):
        images = torch.full((2, 3, 3, 1), value, dtype=torch.uint8)
        logits, loss, _ = does(torch.nn.Identity(), work, (images, torch.zeros(2)))
        assert torch.equal(logits, images.float())
        assert loss == 18 * value
    assert len(calls) == WARM_UP + 1
    assert tapes[0].replays == 4


@with_gpu
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("form", ["plain", "compiled"])
def test_on_a_gpu(form: machine.Form, data: str, tmp_path: Path) -> None:
    """The real thing. Sums may be added in another order in each run, even without graphs."""
    gpu = Machine(machine.cuda(0), "float32", 1, form)
    if form == "compiled" and not machine.supports_compile(gpu.device):
        pytest.skip("torch.compile does not work here")
    config = config_of(tmp_path, NETS["all"], DATA[data], "class_weights: balanced")
    graphs, plan = trained(config, replace(gpu, graphs=True))
    assert plan.graphed.failure is None
    assert plan.graphed.recording is not None
    assert_close(graphs, trained(config, gpu)[0])


@with_gpu
def test_where_recording_fails_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value is read while it is recorded: torch must be as usable as before."""
    gpu = Machine(machine.cuda(0), "float32", 1)
    config = config_of(tmp_path, NETS["all"])
    eager, _ = trained(config, gpu)
    backward = loop.backward

    def reading(state: State, loss: torch.Tensor) -> list[torch.Tensor]:
        loss.item()
        return backward(state, loss)

    monkeypatch.setattr(loop, "backward", reading)
    graphs, plan = trained(config, replace(gpu, graphs=True))
    assert plan.graphed.failure is not None
    assert_close(graphs, eager)
