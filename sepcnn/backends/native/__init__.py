"""CPU kernels for separable convolutional nets: C++ and OpenMP, compiled for this processor."""
