"""The table of contents of layers: the names of the config, in the order of the manual."""

from sepcnn.layers.activation import Activation, ReLU, Softmax
from sepcnn.layers.base import Layer
from sepcnn.layers.block import Parallel, Repeat, Residual
from sepcnn.layers.convolution import Conv2D, SeparableConv2D
from sepcnn.layers.dense import Dense
from sepcnn.layers.depthwise import DepthwiseConv2D
from sepcnn.layers.dropout import Dropout
from sepcnn.layers.framing import Cropping2D, ZeroPadding2D
from sepcnn.layers.merge import Add, Concatenate
from sepcnn.layers.normalization import BatchNormalization
from sepcnn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from sepcnn.layers.reshape import Flatten, Permute, Reshape
from sepcnn.layers.resizing import CenterCrop, Resizing, UpSampling2D
from sepcnn.layers.scaling import Normalization, Rescaling
from sepcnn.layers.transposed import Conv2DTranspose

LAYERS = Layer.table
LAYERS.fill(
    {
        "Rescaling": Rescaling,
        "Normalization": Normalization,
        "Resizing": Resizing,
        "CenterCrop": CenterCrop,
        "Conv2D": Conv2D,
        "SeparableConv2D": SeparableConv2D,
        "DepthwiseConv2D": DepthwiseConv2D,
        "Conv2DTranspose": Conv2DTranspose,
        "BatchNormalization": BatchNormalization,
        "Activation": Activation,
        "ReLU": ReLU,
        "Softmax": Softmax,
        "MaxPooling2D": MaxPooling2D,
        "AveragePooling2D": AveragePooling2D,
        "GlobalAveragePooling2D": GlobalAveragePooling2D,
        "UpSampling2D": UpSampling2D,
        "ZeroPadding2D": ZeroPadding2D,
        "Cropping2D": Cropping2D,
        "Flatten": Flatten,
        "Reshape": Reshape,
        "Permute": Permute,
        "Dense": Dense,
        "Dropout": Dropout,
        "Add": Add,
        "Concatenate": Concatenate,
        "Residual": Residual,
        "Repeat": Repeat,
        "Parallel": Parallel,
    }
)
