"""Training speed of the batch-normalized example model in Keras on TensorFlow.

training_speed.py runs this with a Python that has both. Prints images per second.
"""

from __future__ import annotations

import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH, IMAGES = 64, 1600


def build_model() -> keras.Model:
    """Return the model of configs/keras_sequential_bn.yaml."""

    def separable(filters: int) -> list[keras.Layer]:
        convolution = layers.SeparableConv2D(filters, 3, use_bias=False)
        return [convolution, layers.BatchNormalization(), layers.ReLU()]

    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            layers.Rescaling(1 / 127.5, -1),
            *separable(32),
            *separable(64),
            layers.MaxPooling2D(2),
            *separable(64),
            *separable(128),
            layers.MaxPooling2D(2),
            *separable(64),
            *separable(128),
            layers.GlobalAveragePooling2D(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> None:
    model = build_model()
    model.compile("rmsprop", "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).integers(256, size=(IMAGES, 64, 64, 3), dtype=np.uint8)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(IMAGES) % 10))
    batches = data.shuffle(IMAGES).batch(BATCH).prefetch(2)
    model.fit(batches.take(5), verbose=0)  # traces the model and warms up
    start = time.perf_counter()
    model.fit(batches, verbose=0)
    print(IMAGES / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
