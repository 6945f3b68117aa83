"""The manual: a chapter for each table of config names, and one for the sections.

`sepcnn.manual.terminal` and `sepcnn.manual.markdown` render it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sepcnn.config.json_schema import TABLES, fields_of, key_of, schema
from sepcnn.config.sections import Data, EarlyStopping, Model, Train
from sepcnn.data.progressive_resizing import ProgressiveResizing
from sepcnn.language.spec import Spec, Table
from sepcnn.manual.entry import Entry
from sepcnn.nn.layers.renorm_clipping import RenormClipping
from sepcnn.nn.schedules import Ramp

SECTIONS: dict[str, type[Spec]] = {
    "model": Model,
    "data": Data,
    "train": Train,
    "progressive_resizing": ProgressiveResizing,
    "early_stopping": EarlyStopping,
    "renorm_clipping": RenormClipping,
    "ramp": Ramp,
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """The entries of one kind, in the order of their table."""

    name: str
    """as in ``sepcnn manual optimizers`` and docs/reference/optimizers.md"""
    title: str
    intro: str
    """a sentence or two before the entries"""
    example: str
    """YAML that shows where an entry is written"""
    entries: dict[str, Entry]


INTROS = {
    "layer": (
        "layers",
        "A model is a list of layers, from input to output. Names, fields and defaults are as in "
        "Keras.",
        """\
model:
  input_shape: [64, 64, 3]
  layers:
    - Rescaling: {scale: 1/127.5, offset: -1}
    - Conv2D: {filters: 32, kernel_size: 3, padding: same}
    - ReLU
    - MaxPooling2D: 2
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
""",
    ),
    "activation": (
        "activations",
        "Functions for the field ``activation`` of a layer, and for the layer Activation.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, activation: relu}
- Dense: {units: 64, activation: {leaky_relu: 0.1}}
- Activation: gelu
""",
    ),
    "initializer": (
        "initializers",
        "How the initial values of weights are chosen. They depend on ``train.seed`` and on the "
        "name of the weight.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, kernel_initializer: he_normal}
- Dense: {units: 10, bias_initializer: {constant: 0.1}}
""",
    ),
    "regularizer": (
        "regularizers",
        "Penalties on a weight that are added to the loss. The fields ``kernel_regularizer``, "
        "``bias_regularizer`` and so on set them. As in Keras, the reported training and "
        "validation losses include them. Frozen layers have no penalty.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, kernel_regularizer: {l2: 1e-4}}
- Dense: {units: 10, kernel_regularizer: {l1_l2: {l1: 1e-5, l2: 1e-4}}}
""",
    ),
    "constraint": (
        "constraints",
        "Constraints applied to a weight after each step. The fields ``kernel_constraint``, "
        "``bias_constraint`` and so on set them. Axes refer to the layout of Keras: a Dense "
        "kernel is inputs × outputs, so axis 0 gives one norm per output; a Conv2D kernel is "
        "height × width × inputs × outputs, so axes ``[0, 1, 2]`` give one norm per output.",
        """\
- Conv2D:
    filters: 32
    kernel_size: 3
    kernel_constraint: {max_norm: {max_value: 3, axis: [0, 1, 2]}}
- Dense: {units: 10, kernel_constraint: {max_norm: 2}}
""",
    ),
    "data source": (
        "sources",
        "Sources of images for ``data.source``. "
        "[Your own images](../guide/data.md) shows how to use your own.",
        """\
data:
  source: {Arrays: images.npz}
""",
    ),
    "augmentation": (
        "augmentations",
        "Random changes to the training images, applied in the order of the list. "
        "Each image of a batch is changed independently.",
        """\
data:
  augment:
    - RandomFlip
    - RandomCrop: 4
""",
    ),
    "optimizer": (
        "optimizers",
        "The update rule of the weights. In the formulas, w is a weight, g its gradient and "
        "t the number of the step.",
        """\
train:
  optimizer: {Adam: 1e-3}
""",
    ),
    "schedule": (
        "schedules",
        "How the learning rate changes over the run: a factor that multiplies "
        "``optimizer.learning_rate``.",
        """\
train:
  optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}}
  schedule: {Cosine: {warmup: 3 epochs}}
""",
    ),
    "loss": (
        "losses",
        "The loss to minimise: the mean over the batch.",
        """\
train:
  loss: {categorical_crossentropy: {label_smoothing: 0.1}}
""",
    ),
}
"""by kind of table: name, introduction and example of its chapter"""
SECTIONS_INTRO = (
    "The keys of ``model``, ``data`` and ``train``, and of the mappings inside them.",
    """\
model:
  input_shape: [64, 64, 3]
  defaults: {Conv2D: {padding: same}}
  layers: [Conv2D: {filters: 8, kernel_size: 3}, Flatten, Dense: {units: auto, activation: softmax}]
data:
  source: Shapes
train:
  epochs: 20
  early_stopping: {patience: 3}
""",
)


def chapters() -> dict[str, Chapter]:
    """Return all chapters by name."""
    definitions = schema()["$defs"]
    book = {}
    for table in TABLES:
        name, intro, example = INTROS[table.kind]
        book[name] = Chapter(name, title_of(table), intro, example, entries_of(table, definitions))
    sections = {
        name: Entry(name, "section", cls, definitions.get(cls.__name__) or fields_of(cls, {}))
        for name, cls in SECTIONS.items()
    }
    book["sections"] = Chapter("sections", "Sections", *SECTIONS_INTRO, sections)
    return book


def title_of(table: Table) -> str:
    """Return for instance ``Data sources``."""
    return f"{table.kind}{'es' if table.kind.endswith('s') else 's'}".capitalize()


def entries_of(table: Table, definitions: dict[str, dict[str, object]]) -> dict[str, Entry]:
    entries = {}
    for name, cls in table.items():
        definition = definitions[f"{key_of(table.kind)}.{name}"]
        main_name = table.name_of(cls)
        alias_of = None if main_name == name else main_name
        entries[name] = Entry(name, table.kind, cls, definition, alias_of)
    return entries
