// The passes over memory of a separable convolutional net, for CPUs.
//
// Images are N×H×W×C, of float or bfloat16: the file is compiled once for each type. All arithmetic
// is float32, and sums over pixels are completed in double. An operation reads an image x as
//     clamp(scale[c] · x + offset[c], low, high)
// so that a normalization and its rectifier have no pass of their own. Its backward function
// computes the gradients of x, scale and offset in one pass. What a row needs stays in the first
// caches.
//
// Why it is built like this: docs/decisions/0007-kernels-of-our-own-for-cpus.md. What was
// measured: docs/internals/performance-log.md. Comments call these measurements "the log".
//
// The functions below are called from Python by name: their names begin with sepcnn_. The kernel
// size becomes a template argument here, K: with it the loops over taps are unrolled and their
// values stay in registers. Depthwise and dense convolutions have K = 3, pooling 2 or 3.

#include "normalization.h"
#include "pixelwise.h"
#include "pooling.h"
#include "stem.h"

namespace {

auto *choose_convolution(const ConvolutionWeights &weights) {
    if (weights.dense) return dense<3>;
    if (!weights.pointwise) return depthwise<3>;
    return weights.depthwise ? separable<3> : separable<1>;
}

auto *choose_convolution_backward(const Shape &shape, const ConvolutionWeights &weights,
                                  const ConvolutionGradients &to) {
    if (weights.dense) return dense_backward<3>;
    if (!weights.pointwise) return depthwise_backward<3>;
    if (!weights.depthwise) return separable_backward<1>;
    const bool is_stem = !to.x && !to.scale && 9 * shape.channels <= MOST_TAPS;
    return is_stem ? stem_backward<3> : separable_backward<3>;
}

}  // namespace

extern "C" {

void sepcnn_moments(const Element *x, long pixels, int channels, Moments to, int threads) {
    moments(x, pixels, channels, to, threads);
}

void sepcnn_moments_backward(OutputGradients output, long pixels, int channels, Element *x_gradient,
                             int threads) {
    moments_backward(output, pixels, channels, x_gradient, threads);
}

void sepcnn_normalization_coefficients(const float *mean, const float *variance,
                                       const float *weight, const float *bias, float epsilon,
                                       int channels, float *scale, float *offset, int) {
    normalization_coefficients(mean, variance, weight, bias, epsilon, channels, scale, offset);
}

void sepcnn_normalization_coefficients_backward(const float *scale_gradient,
                                                const float *offset_gradient, const float *mean,
                                                const float *variance, const float *weight,
                                                float epsilon, int channels, float *mean_gradient,
                                                float *variance_gradient, float *weight_gradient,
                                                int) {
    normalization_coefficients_backward(scale_gradient, offset_gradient, mean, variance, weight,
                                        epsilon, channels, mean_gradient, variance_gradient,
                                        weight_gradient);
}

void sepcnn_clamped_affine(const Element *x, long pixels, int channels, ClampedAffine affine,
                           Element *y, int threads) {
    clamped_affine(x, pixels, channels, affine, y, threads);
}

void sepcnn_clamped_affine_backward(const Element *gradient, const Element *x, long pixels,
                                    int channels, ClampedAffine affine, Element *x_gradient,
                                    float *scale_gradient, float *offset_gradient, int threads) {
    clamped_affine_backward(gradient, x, pixels, channels, affine, x_gradient, scale_gradient,
                            offset_gradient, threads);
}

void sepcnn_add(const Element *x, const Element *other, long pixels, int channels,
                ClampedAffine affine, ClampedAffine other_affine, Element *y, int threads) {
    add(x, other, pixels, channels, affine, other_affine, y, threads);
}

void sepcnn_max_pool(const Element *x, Shape shape, const float *scale, int kernel_size,
                     Geometry geometry, Element *y, uint8_t *places, int threads) {
    const auto pool = kernel_size == 2 ? max_pool<2> : max_pool<3>;
    pool(x, shape, scale, geometry, y, places, threads);
}

void sepcnn_max_pool_backward(const Element *gradient, const uint8_t *places, Shape shape,
                              int kernel_size, Geometry geometry, Element *x_gradient,
                              int threads) {
    const auto pool_backward = kernel_size == 2 ? max_pool_backward<2> : max_pool_backward<3>;
    pool_backward(gradient, places, shape, geometry, x_gradient, threads);
}

void sepcnn_convolution(Input input, Geometry geometry, ConvolutionWeights weights, Element *y,
                        Moments moments, int threads) {
    choose_convolution(weights)(input, geometry, weights, y, moments, threads);
}

void sepcnn_convolution_backward(OutputGradients output, Input input, Geometry geometry,
                                 ConvolutionWeights weights, ConvolutionGradients to, int threads) {
    choose_convolution_backward(input.shape, weights, to)(output, input, geometry, weights, to,
                                                          threads);
}

}  // extern "C"
