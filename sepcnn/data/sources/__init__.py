"""Data sources, by the name that a config uses."""

from sepcnn.data.sources.arrays import Arrays
from sepcnn.data.sources.base import Source
from sepcnn.data.sources.folder import Folder
from sepcnn.data.sources.shapes import Shapes
from sepcnn.data.sources.torchvision_sets import Torchvision

SOURCES = Source.table
SOURCES.fill({"Shapes": Shapes, "Folder": Folder, "Arrays": Arrays, "Torchvision": Torchvision})
