// The passes over memory of a separable net, for CPUs.
//
// Images lie N×H×W×C, in float or bfloat16; all arithmetic is float32, and sums over pixels are
// added up in double. An operation that reads an image takes it as
//     clamp(scale[c]·x + offset[c], low, high)
// so that a normalization and its rectifier cost no pass of their own; its backward function gives
// the gradients of x, scale and offset in one pass. What a row needs stays in the first caches.

#include "pixels.h"
#include "pooling.h"
#include "stem.h"

// Compiled twice, once for each type.
#define EXPORT(T, NAME)                                                                            \
    void moments_##NAME(const T *x, long pixels, int channels, float *result, int threads) {       \
        moments(x, pixels, channels, result, threads);                                             \
    }                                                                                              \
    void moments_backward_##NAME(const T *gradient, const T *x, long pixels, int channels,         \
                                 const float *moment_gradients, T *x_gradient, int threads) {      \
        moments_backward(gradient, x, pixels, channels, moment_gradients, x_gradient, threads);    \
    }                                                                                              \
    void see_##NAME(const T *x, long pixels, int channels, View view, T *y, int threads) {         \
        see(x, pixels, channels, view, y, threads);                                                \
    }                                                                                              \
    void see_backward_##NAME(const T *gradient, const T *x, long pixels, int channels, View view,  \
                             T *x_gradient, float *scale_gradient, float *offset_gradient,         \
                             int threads) {                                                        \
        see_backward(gradient, x, pixels, channels, view, x_gradient, scale_gradient,              \
                     offset_gradient, threads);                                                    \
    }                                                                                              \
    void max_pool_##NAME(const T *x, Shape in, const float *scale, Pool pool, T *y,                \
                         uint8_t *places, int threads) {                                           \
        const bool whole = in.channels % LANES == 0;                                               \
        auto run = pool.size == 2 ? (whole ? max_pool<T, 2, true> : max_pool<T, 2, false>)         \
                                  : (whole ? max_pool<T, 3, true> : max_pool<T, 3, false>);        \
        run(x, in, scale, pool, y, places, threads);                                               \
    }                                                                                              \
    void max_pool_backward_##NAME(const T *gradient, const uint8_t *places, Shape in, Pool pool,   \
                                  T *x_gradient, int threads) {                                    \
        const bool whole = in.channels % LANES == 0;                                               \
        auto run =                                                                                 \
            pool.size == 2                                                                         \
                ? (whole ? max_pool_backward<T, 2, true> : max_pool_backward<T, 2, false>)         \
                : (whole ? max_pool_backward<T, 3, true> : max_pool_backward<T, 3, false>);        \
        run(gradient, places, in, pool, x_gradient, threads);                                      \
    }                                                                                              \
    void separable_##NAME(const T *x, Shape in, View view, Separable op, T *y, float *moments,     \
                          int threads) {                                                           \
        auto run = op.filters % LANES    ? separable<T, 3, false, false>                           \
                   : in.channels % LANES ? separable<T, 3, false, true>                            \
                                         : separable<T, 3, true, true>;                            \
        run(x, in, view, op, y, moments, threads);                                                 \
    }                                                                                              \
    void separable_backward_##NAME(const T *gradient, const T *y, const float *moment_gradients,   \
                                   const T *x, Shape in, View view, Separable op,                  \
                                   SeparableGradients to, int threads) {                           \
        const bool stem = !to.x && !to.scale && 9 * in.channels <= MOST_TAPS;                      \
        auto run = stem && op.filters % LANES ? stem_backward<T, 3, false>                         \
                   : stem                     ? stem_backward<T, 3, true>                          \
                   : op.filters % LANES  ? separable_backward<T, 3, false, false>                  \
                   : in.channels % LANES ? separable_backward<T, 3, false, true>                   \
                                         : separable_backward<T, 3, true, true>;                   \
        run(gradient, y, moment_gradients, x, in, view, op, to, threads);                          \
    }

extern "C" {
#if defined(FLOAT32)
EXPORT(float, float32)
#else
EXPORT(bfloat16, bfloat16)
#endif
}
