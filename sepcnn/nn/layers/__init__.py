"""All layers, by their names in the config, in the order of the manual."""

from sepcnn.nn.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from sepcnn.nn.layers.base import Layer
from sepcnn.nn.layers.block import Parallel, Repeat, Residual
from sepcnn.nn.layers.convolution import Conv2D, SeparableConv2D
from sepcnn.nn.layers.dense import Dense
from sepcnn.nn.layers.depthwise import DepthwiseConv2D
from sepcnn.nn.layers.dropout import Dropout, GaussianNoise, SpatialDropout2D, StochasticDepth
from sepcnn.nn.layers.group_normalization import GroupNormalization, LayerNormalization
from sepcnn.nn.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.nn.layers.padding_cropping import Cropping2D, ZeroPadding2D
from sepcnn.nn.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from sepcnn.nn.layers.reshape import Flatten, Permute, Reshape
from sepcnn.nn.layers.resizing import CenterCrop, Resizing, UpSampling2D
from sepcnn.nn.layers.scaling import Normalization, Rescaling
from sepcnn.nn.layers.transposed import Conv2DTranspose

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
        "LayerNormalization": LayerNormalization,
        "GroupNormalization": GroupNormalization,
        "Activation": Activation,
        "ReLU": ReLU,
        "LeakyReLU": LeakyReLU,
        "ELU": ELU,
        "PReLU": PReLU,
        "Softmax": Softmax,
        "MaxPooling2D": MaxPooling2D,
        "AveragePooling2D": AveragePooling2D,
        "GlobalAveragePooling2D": GlobalAveragePooling2D,
        "GlobalMaxPooling2D": GlobalMaxPooling2D,
        "UpSampling2D": UpSampling2D,
        "ZeroPadding2D": ZeroPadding2D,
        "Cropping2D": Cropping2D,
        "Flatten": Flatten,
        "Reshape": Reshape,
        "Permute": Permute,
        "Dense": Dense,
        "Dropout": Dropout,
        "SpatialDropout2D": SpatialDropout2D,
        "StochasticDepth": StochasticDepth,
        "GaussianNoise": GaussianNoise,
        "Add": Add,
        "Subtract": Subtract,
        "Multiply": Multiply,
        "Average": Average,
        "Maximum": Maximum,
        "Minimum": Minimum,
        "Concatenate": Concatenate,
        "Residual": Residual,
        "Repeat": Repeat,
        "Parallel": Parallel,
    }
)
