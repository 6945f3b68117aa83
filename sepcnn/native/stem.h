// The gradients of a separable convolution on the images themselves, whose own gradient nobody wants.
//
// With P[t, c, f] = Σ x[p + t, c] · dy[p, f] over all pixels p, for each tap t, channel c and filter f,
// the pointwise kernel's gradient is Σ over t of D[c, t] · P[t, c, f] and the depthwise kernel's Σ over
// f of W[f, c] · P[t, c, f]: one product, where few channels would fill few lanes of the other way.

#pragma once

#include "separable.h"

namespace {

constexpr int MOST_TAPS = 4 * LANES;  // of all channels: with more, the general way is faster

// What each pixel of a row of the result reads: pixels × (K · K · channels).
template <int K, class T, class To>
APART void gather_taps(Window<T> &window, int top, int width, int channels, To *to) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = window.row(top + i);
    const int run = K * channels;
    for (int p = 0; p < width; p++)
        for (int i = 0; i < K; i++, to += run)
            // What a vector writes beyond the run is written again by the next.
            for (int k = 0; k < run; k += LANES) store(to + k, load(rows[i] + p * channels + k));
}

template <class T, int K, bool OUT>
void stem_backward(const T *gradient, const T *y, const float *moment_gradients, const T *x, Shape in, View as_is,
                   Separable op, SeparableGradients to, int threads) {
    const int channels = in.channels, filters = op.filters, taps = K * K * channels;
    const int pairs = words_of<T>(op.width), stride = whole(filters);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const int filter_lanes = Row(op.width, filters).lanes;
    const auto once = spread(moment_gradients, filters, filter_lanes);
    const auto twice = spread(moment_gradients ? moment_gradients + filters : nullptr, filters, filter_lanes);
    std::vector<double> total(size_t(threads) * taps * stride);
#pragma omp parallel num_threads(threads)
    {
        double *mine = &total[size_t(omp_get_thread_num()) * taps * stride];
        Aligned<float> products(size_t(taps) * stride);
        Window<T> window(K, in.width, op.left, op.width + K - 1 - op.left - in.width, channels);
        Aligned<Element<T>> read(op.width * taps + LANES), y_gradient(op.width * filters + LANES);
        Aligned<Word<T>> left(size_t(pairs) * whole(taps)), right(size_t(pairs) * stride);
#pragma omp for schedule(static)
        for (int n = 0; n < in.images; n++) {
            const T *image = x + size_t(n) * in.height * in.width * channels;
            for (int i = 0; i < K - 1; i++) window.template read<false>(image, in.height, i - op.top, view);
            for (int row = 0; row < op.height; row++) {
                window.template read<false>(image, in.height, row - op.top + K - 1, view);
                gather_taps<K>(window, row - op.top, op.width, channels, read.data());
                pack_pixels<T>(read.data(), op.width, taps, left.data());
                const size_t start = (size_t(n) * op.height + row) * op.width * filters;
                add_moment_gradients<OUT>(gradient + start, moment_gradients ? y + start : nullptr, once.data(),
                                          twice.data(), op.width, filters, y_gradient.data());
                pack_pixels<T>(y_gradient.data(), op.width, filters, right.data());
                multiply<T>(left.data(), 1, whole(taps), right.data(), pairs, taps, filters,
                            Added{products.data(), stride});
            }
            for (size_t i = 0; i < products.size(); i++) mine[i] += products[i];
            std::fill(products.begin(), products.end(), 0.0f);
        }
    }
    for (int c = 0; c < channels; c++) {
        std::vector<double> pointwise(filters);
        for (int tap = 0; tap < K * K; tap++) {
            double depthwise = 0;
            for (int f = 0; f < filters; f++) {
                double sum = 0;
                for (int t = 0; t < threads; t++) sum += total[(size_t(t) * taps + tap * channels + c) * stride + f];
                depthwise += sum * op.pointwise[size_t(f) * channels + c];
                pointwise[f] += sum * op.depthwise[size_t(c) * K * K + tap];
            }
            to.depthwise[size_t(c) * K * K + tap] = float(depthwise);
        }
        for (int f = 0; f < filters; f++) to.pointwise[size_t(f) * channels + c] = float(pointwise[f]);
    }
}

}  // namespace
