// What reads the images themselves: few channels, which would fill few lanes, and whose gradient nobody wants.
//
// A window of all channels is then one row of a product. With P[t, c, f] = Σ x[p + t, c] · dy[p, f] over
// all pixels p, for each tap t, channel c and filter f, a convolution's kernel has the gradient P itself. Of
// a separable one the pointwise kernel's is Σ over t of D[c, t] · P[t, c, f] and the depthwise kernel's Σ over
// f of W[f, c] · P[t, c, f].

#pragma once

#include "separable.h"

namespace {

constexpr int MOST_TAPS = 4 * LANES;  // of all channels: with more, the general way is faster

// What each pixel of a row of the result reads: pixels × (K · K · channels), `step` values apart.
template <int K, class T, class To>
APART void gather_taps(Window<T> &window, int top, Grid grid, int channels, To *to, int step) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = window.row(top + i);
    const int run = K * channels;
    for (int p = 0; p < grid.width; p++, to += step)
        for (int i = 0; i < K; i++)
            // What a vector writes beyond the run is written again by the next.
            for (int k = 0; k < run; k += LANES)
                store(to + i * run + k, load(rows[i] + p * grid.across * channels + k));
}

// A convolution's y, and mean and variance of each of its channels.
template <class T, int K>
void dense(const T *x, Shape in, View as_is, Grid grid, Kernels kernels, T *y, Moments moments,
           int threads) {
    const int channels = in.channels, taps = K * K * channels, depth = words_of<T>(taps), filters = kernels.filters;
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const auto packed_kernel = packed<T>(kernels.dense, taps, filters, 1, taps);
    Sums sums(threads, 2, filters);
    over_bands(threads, in.images, grid.height, [&](int task, int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        Window<T> window(K, in.width, grid.left, grid.right(K, in.width), channels);
        window.next = first * grid.down - grid.top;
        Aligned<Word<T>> read(size_t(grid.width) * depth + LANES);
        for (int row = first; row < last; row++) {
            const int top = row * grid.down - grid.top;
            window.reach(image, in.height, top, view);
            gather_taps<K>(window, top, grid, channels, reinterpret_cast<Element<T> *>(read.data()),
                           depth * Words<T>::DEPTH);
            T *out = y + (size_t(n) * grid.height + row) * grid.width * filters;
            multiply<T>(read.data(), grid.width, packed_kernel,
                        StoredWithMoments<T>{{out, filters, filters}, sums.mine().of(0), sums.mine().of(1)});
        }
        sums.settle(task);
    });
    sums.write_moments(moments, filters, in.images * grid.pixels());
}

// P: (taps × channels) × filters.
template <class T, int K>
std::vector<double> tap_products(Result<T> result, const T *x, Shape in,
                                 View as_is, Grid grid, int filters, int threads) {
    const int channels = in.channels, taps = K * K * channels;
    const int pairs = words_of<T>(grid.width);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const ResultGradient<T> gradient(result, in.images, grid, filters, filters);
    Sums sums(threads, taps, filters);
    const Tasks tasks(threads, in.images);
#pragma omp parallel num_threads(threads)
    {
        Window<T> window(K, in.width, grid.left, grid.right(K, in.width), channels);
        Aligned<Element<T>> read(grid.width * taps + LANES), y_gradient(grid.width * filters + LANES);
        Left<T> left(pairs, taps);
        Right<T> right(pairs, filters);
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++)
            for (int n = tasks.begin(task); n < tasks.end(task); n++) {
                const T *image = x + size_t(n) * in.height * in.width * channels;
                window.next = -grid.top;
                for (int row = 0; row < grid.height; row++) {
                    const int top = row * grid.down - grid.top;
                    window.reach(image, in.height, top, view);
                    gather_taps<K>(window, top, grid, channels, read.data(), taps);
                    left.put(0, read.data(), grid.width);
                    gradient.read(size_t(n) * grid.height + row, y_gradient.data());
                    right.put(0, y_gradient.data(), grid.width);
                    multiply(left, right, pairs, Added{sums.mine().of(0), right.columns});
                }
                sums.settle(task);
            }
    }
    return sums.added_up();
}

template <class T, int K>
void dense_backward(Result<T> result, const T *x, Shape in, View view,
                    Grid grid, Kernels kernels, Gradients to, int threads) {
    const int filters = kernels.filters, taps = K * K * in.channels;
    const auto products = tap_products<T, K>(result, x, in, view, grid, filters, threads);
    for (int f = 0; f < filters; f++)
        for (int tap = 0; tap < taps; tap++)
            to.dense[size_t(f) * taps + tap] = float(products[size_t(tap) * filters + f]);
}

template <class T, int K>
void stem_backward(Result<T> result, const T *x, Shape in, View view,
                   Grid grid, Kernels kernels, Gradients to, int threads) {
    const int channels = in.channels, filters = kernels.filters;
    const auto products = tap_products<T, K>(result, x, in, view, grid, filters, threads);
    for (int c = 0; c < channels; c++) {
        std::vector<double> pointwise(filters);
        for (int tap = 0; tap < K * K; tap++) {
            const double *sums = &products[size_t(tap * channels + c) * filters];
            double depthwise = 0;
            for (int f = 0; f < filters; f++) {
                depthwise += sums[f] * kernels.pointwise[size_t(f) * channels + c];
                pointwise[f] += sums[f] * kernels.depthwise[size_t(c) * K * K + tap];
            }
            to.depthwise[size_t(c) * K * K + tap] = float(depthwise);
        }
        for (int f = 0; f < filters; f++) to.pointwise[size_t(f) * channels + c] = float(pointwise[f]);
    }
}

}  // namespace
