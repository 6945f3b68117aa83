"""The manual: a chapter for each table and one for the sections.

The terminal and the Markdown pages of docs/ are two renderings of it.
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
    """All entries of one kind, in the order of their table."""

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
        "A net is a list of layers, from input to output. Names, fields and defaults are Keras'.",
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
        "Functions that the field ``activation`` of a layer, and the layer Activation, can name.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, activation: relu}
- Dense: {units: 64, activation: {leaky_relu: 0.1}}
- Activation: gelu
""",
    ),
    "initializer": (
        "initializers",
        "How a weight's first values are drawn, from ``train.seed`` and the weight's name.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, kernel_initializer: he_normal}
- Dense: {units: 10, bias_initializer: {constant: 0.1}}
""",
    ),
    "regularizer": (
        "regularizers",
        "What a weight adds to the loss, by the fields ``kernel_regularizer``, "
        "``bias_regularizer`` and so on of the layers with weights. As in Keras, the loss that is "
        "reported holds it, in training and validation; frozen layers cost nothing.",
        """\
- Conv2D: {filters: 32, kernel_size: 3, kernel_regularizer: {l2: 1e-4}}
- Dense: {units: 10, kernel_regularizer: {l1_l2: {l1: 1e-5, l2: 1e-4}}}
""",
    ),
    "constraint": (
        "constraints",
        "What a weight is held to after every step, by the fields ``kernel_constraint``, "
        "``bias_constraint`` and so on. Axes are those of Keras' layout: of a Dense kernel, "
        "inputs × outputs, axis 0 leaves one norm an output; of a Conv2D kernel, height × width × "
        "inputs × outputs, ``[0, 1, 2]`` does.",
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
        "Where ``data.source`` takes the images from. "
        "[Your own images](../guide/data.md) shows how to use your own.",
        """\
data:
  source: {Arrays: images.npz}
""",
    ),
    "augmentation": (
        "augmentations",
        "Random changes of the training images, in the order of the list. "
        "Each image of a batch is changed in its own way.",
        """\
data:
  augment:
    - RandomFlip
    - RandomCrop: 4
""",
    ),
    "optimizer": (
        "optimizers",
        "The rule that changes the weights. In the formulas w is a weight and g its gradient.",
        """\
train:
  optimizer: {Adam: 1e-3}
""",
    ),
    "schedule": (
        "schedules",
        "How the learning rate changes over the run: a factor of ``optimizer.learning_rate``.",
        """\
train:
  optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}}
  schedule: {Cosine: {warmup: 3 epochs}}
""",
    ),
    "loss": (
        "losses",
        "What training makes small: the mean over the batch.",
        """\
train:
  loss: {categorical_crossentropy: {label_smoothing: 0.1}}
""",
    ),
}
"""by the kind of the table: name, intro and example of its chapter"""
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
    """The whole manual, by the names of its chapters."""
    definitions = schema()["$defs"]
    found = {}
    for table in TABLES:
        name, intro, example = INTROS[table.kind]
        found[name] = Chapter(name, title_of(table), intro, example, entries_of(table, definitions))
    sections = {
        name: Entry(name, "section", cls, definitions.get(cls.__name__) or fields_of(cls, {}))
        for name, cls in SECTIONS.items()
    }
    found["sections"] = Chapter("sections", "Sections", *SECTIONS_INTRO, sections)
    return found


def title_of(table: Table) -> str:
    """``Data sources``."""
    return f"{table.kind}{'es' if table.kind.endswith('s') else 's'}".capitalize()


def entries_of(table: Table, definitions: dict[str, dict[str, object]]) -> dict[str, Entry]:
    entries = {}
    for name, cls in table.items():
        definition = definitions[f"{key_of(table.kind)}.{name}"]
        first = table.name_of(cls)
        entries[name] = Entry(name, table.kind, cls, definition, None if first == name else first)
    return entries
