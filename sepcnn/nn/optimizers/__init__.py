"""All optimizers, with the update rules of Keras.

Those of torch give different results: see each class.
"""

from sepcnn.nn.optimizers.adam import Adam, Adamax, AdamW, Nadam
from sepcnn.nn.optimizers.base import Optimizer, Slots
from sepcnn.nn.optimizers.momentum import SGD, Lion
from sepcnn.nn.optimizers.square import Adadelta, Adagrad, RMSprop

__all__ = ["OPTIMIZERS", "Optimizer", "RMSprop", "Slots"]

OPTIMIZERS = Optimizer.table
OPTIMIZERS.fill(
    {
        "SGD": SGD,
        "RMSprop": RMSprop,
        "Adam": Adam,
        "AdamW": AdamW,
        "Nadam": Nadam,
        "Adamax": Adamax,
        "Adagrad": Adagrad,
        "Adadelta": Adadelta,
        "Lion": Lion,
    }
)
OPTIMIZERS.accept({name.lower(): name for name in OPTIMIZERS})
