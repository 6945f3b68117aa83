"""Train small, fast image classifiers from one YAML file.

    import sepcnn

    config = sepcnn.load_config("configs/xception_mini.yaml")
    model = sepcnn.build(config)                     # a torch.nn.Module, images N×C×H×W
    predictor = sepcnn.load("runs/xception_mini/1")  # a trained model
    probabilities = predictor.predict("photo.jpg")   # or an image of Pillow, an array, or a list

Importing the package is fast: it imports torch only when one of these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Config", "Predictor", "SepcnnError", "__version__", "build", "load", "load_config"]

if TYPE_CHECKING:
    from sepcnn.api import build, load, load_config
    from sepcnn.config.config import Config
    from sepcnn.errors import SepcnnError
    from sepcnn.training.prediction import Predictor

_MODULES = {
    "Config": "sepcnn.config.config",
    "Predictor": "sepcnn.training.prediction",
    "SepcnnError": "sepcnn.errors",
    "build": "sepcnn.api",
    "load": "sepcnn.api",
    "load_config": "sepcnn.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'sepcnn' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
