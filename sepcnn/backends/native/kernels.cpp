// The passes over memory of a separable net, for CPUs.
//
// Images lie N×H×W×C, in float or bfloat16; all arithmetic is float32, and sums over pixels are
// added up in double. An operation that reads an image takes it as
//     clamp(scale[c]·x + offset[c], low, high)
// so that a normalization and its rectifier cost no pass of their own; its backward function gives
// the gradients of x, scale and offset in one pass. What a row needs stays in the first caches.

#include "normalization.h"
#include "pixels.h"
#include "pooling.h"
#include "stem.h"

template <class T> auto convolution_of(const Kernels &kernels) {
    if (kernels.dense) return dense<T, 3>;
    if (!kernels.pointwise) return depthwise<T, 3>;
    return kernels.depthwise ? separable<T, 3> : separable<T, 1>;
}

template <class T> auto way_back_of(const Shape &in, const Kernels &kernels, const Gradients &to) {
    if (kernels.dense) return dense_backward<T, 3>;
    if (!kernels.pointwise) return depthwise_backward<T, 3>;
    if (!kernels.depthwise) return separable_backward<T, 1>;
    const bool is_stem = !to.x && !to.scale && 9 * in.channels <= MOST_TAPS;
    return is_stem ? stem_backward<T, 3> : separable_backward<T, 3>;
}

// Compiled twice, once for each type.
#define EXPORT(T, NAME)                                                                                                \
    void moments_##NAME(const T *x, long pixels, int channels, Moments to, int threads) {                              \
        moments(x, pixels, channels, to, threads);                                                                     \
    }                                                                                                                  \
    void moments_backward_##NAME(const T *gradient, const T *x, const float *mean, Moments gradients, long pixels,     \
                                 int channels, T *x_gradient, int threads) {                                           \
        moments_backward<T>({gradient, x, mean, gradients}, pixels, channels, x_gradient, threads);                    \
    }                                                                                                                  \
    void normalization_coefficients_##NAME(const float *mean, const float *variance, const float *weight, const float *bias,               \
                       float epsilon, int channels, float *scale, float *offset, int) {                                \
        affine(mean, variance, weight, bias, epsilon, channels, scale, offset);                                        \
    }                                                                                                                  \
    void normalization_coefficients_backward_##NAME(const float *scale_gradient, const float *offset_gradient, const float *mean,          \
                                const float *variance, const float *weight, float epsilon, int channels,               \
                                float *mean_gradient, float *variance_gradient, float *weight_gradient, int) {         \
        affine_backward(scale_gradient, offset_gradient, mean, variance, weight, epsilon, channels, mean_gradient,     \
                        variance_gradient, weight_gradient);                                                           \
    }                                                                                                                  \
    void clamped_affine_##NAME(const T *x, long pixels, int channels, View view, T *y, int threads) {                             \
        see(x, pixels, channels, view, y, threads);                                                                    \
    }                                                                                                                  \
    void clamped_affine_backward_##NAME(const T *gradient, const T *x, long pixels, int channels, View view,                      \
                             T *x_gradient, float *scale_gradient, float *offset_gradient,                             \
                             int threads) {                                                                            \
        see_backward(gradient, x, pixels, channels, view, x_gradient, scale_gradient,                                  \
                     offset_gradient, threads);                                                                        \
    }                                                                                                                  \
    void max_pool_##NAME(const T *x, Shape in, const float *scale, int size, Grid pool, T *y,                          \
                         uint8_t *places, int threads) {                                                               \
        auto run = size == 2 ? max_pool<T, 2> : max_pool<T, 3>;                                                        \
        run(x, in, scale, pool, y, places, threads);                                                                   \
    }                                                                                                                  \
    void max_pool_backward_##NAME(const T *gradient, const uint8_t *places, Shape in, int size, Grid pool,             \
                                  T *x_gradient, int threads) {                                                        \
        auto run = size == 2 ? max_pool_backward<T, 2> : max_pool_backward<T, 3>;                                      \
        run(gradient, places, in, pool, x_gradient, threads);                                                          \
    }                                                                                                                  \
    void convolution_##NAME(const T *x, Shape in, View view, Grid grid, Kernels kernels, T *y, Moments moments,        \
                            int threads) {                                                                             \
        convolution_of<T>(kernels)(x, in, view, grid, kernels, y, moments, threads);                                   \
    }                                                                                                                  \
    void convolution_backward_##NAME(const T *gradient, const T *y, const float *mean, Moments gradients, const T *x,  \
                                     Shape in, View view, Grid grid, Kernels kernels, Gradients to, int threads) {     \
        way_back_of<T>(in, kernels, to)({gradient, y, mean, gradients}, x, in, view, grid, kernels, to, threads);      \
    }                                                                                                                  \
    void add_##NAME(const T *x, const T *other, long pixels, int channels, View view, View other_view, T *y,           \
                    int threads) {                                                                                     \
        add(x, other, pixels, channels, view, other_view, y, threads);                                                 \
    }

extern "C" {
#if defined(FLOAT32)
EXPORT(float, float32)
#else
EXPORT(bfloat16, bfloat16)
#endif
}
