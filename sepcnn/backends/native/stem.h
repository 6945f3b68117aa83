// Convolutions of the images themselves: few channels, which would fill few lanes of a vector, and
// no gradient of the input.
//
// All values under a kernel are gathered into one row of a matrix, and multiplied by the filters.
// Images of three channels have 27 values under a kernel, nearly two vectors of 16. For the way
// back let P[t, c, f] = Σ x[p + t, c] · dy[p, f] over all pixels p, for each tap t, channel c and
// filter f. P is the gradient of a dense kernel. A separable convolution with depthwise kernel D
// and pointwise kernel W has the gradients
//     dW[f, c] = Σ D[c, t] · P[t, c, f] over t,    dD[c, t] = Σ W[f, c] · P[t, c, f] over f.

#pragma once

#include "separable.h"

namespace {

// Most taps × channels of a separable convolution whose gradients are computed from P: four vectors
// of them, as many as a row of a block. With more, the general way is faster.
constexpr int MOST_TAPS = 4 * LANES;

// Writes what each pixel of an output row reads: pixels × (K · K · channels), `step` values apart.
template <int K>
NOINLINE void gather_taps(InputRows<K> &input, int top, Geometry geometry, Operand *to, int step) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = input.padded_row(top + i);
    const int channels = input.channels, run = K * channels;
    for (int p = 0; p < geometry.width; p++, to += step)
        for (int i = 0; i < K; i++) {
            const float *from = rows[i] + p * geometry.stride_across * channels;
            // What a vector writes beyond the run is overwritten by the next one. Ends of rows are
            // padded for it.
            for (int k = 0; k < run; k += LANES) store(to + i * run + k, load(from + k));
        }
}

// Writes y, and the moments of each of its channels.
template <int K>
void dense(const Input &input, const Geometry &geometry, const ConvolutionWeights &weights,
           Element *y, Moments moments, int threads) {
    const int taps = K * K * input.shape.channels, depth = words_of(taps);
    const int filters = weights.filters;
    const auto kernel = packed(weights.dense, taps, filters, 1, taps);
    Sums sums(threads, 2, filters);
    for_each_output_band<K>(
        input, geometry, threads, sums, [&](InputRows<K> &rows, int image, int first, int last) {
            const Sums::Partial partial = sums.of_thread();
            Aligned<Word> gathered(size_t(geometry.width) * depth + LANES);
            for (int row = first; row < last; row++) {
                const int top = geometry.top(row);
                rows.advance_to(top);
                gather_taps<K>(rows, top, geometry, reinterpret_cast<Operand *>(gathered.data()),
                               depth * DEPTH);
                Element *to = y + geometry.start(image, row) * filters;
                multiply(gathered.data(), geometry.width, kernel,
                         StoredWithMoments{{to, filters, filters}, partial.of(0), partial.of(1)});
            }
        });
    sums.write_moments(moments, filters, input.shape.images * geometry.pixels());
}

// P: (taps × channels) × filters.
template <int K>
std::vector<double> tap_products(const OutputGradients &output, const Input &input,
                                 const Geometry &geometry, int filters, int threads) {
    const int channels = input.shape.channels, taps = K * K * channels;
    const int words = words_of(geometry.width);
    const LaneAffine read_as(input.read_as, channels, input.layout().lanes);
    const OutputGradientRows gradient(output, input.shape.images, geometry, filters, filters);
    Sums sums(threads, taps, filters);
    const Tasks tasks(threads, input.shape.images);
#pragma omp parallel num_threads(threads)
    {
        InputRows<K> rows(input, read_as, geometry);
        Aligned<Operand> gathered(geometry.width * taps + LANES);
        Aligned<Operand> y_gradient(geometry.width * filters + LANES);
        Left left(words, taps);
        Right right(words, filters);
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++)
            for (int image = tasks.begin(task); image < tasks.end(task); image++) {
                rows.start_image(image);
                for (int row = 0; row < geometry.height; row++) {
                    const int top = geometry.top(row);
                    rows.advance_to(top);
                    gather_taps<K>(rows, top, geometry, gathered.data(), taps);
                    left.put(0, gathered.data(), geometry.width);
                    gradient.write(geometry.start(image, row), y_gradient.data());
                    right.put(0, y_gradient.data(), geometry.width);
                    multiply(left, right, words, Added{sums.of_thread().of(0), right.columns});
                }
                sums.flush(task);
            }
    }
    return sums.added_up();
}

template <int K>
void dense_backward(const OutputGradients &output, const Input &input, const Geometry &geometry,
                    const ConvolutionWeights &weights, ConvolutionGradients to, int threads) {
    const int filters = weights.filters, taps = K * K * input.shape.channels;
    const auto products = tap_products<K>(output, input, geometry, filters, threads);
    for (int f = 0; f < filters; f++)
        for (int tap = 0; tap < taps; tap++)
            to.dense[size_t(f) * taps + tap] = float(products[size_t(tap) * filters + f]);
}

// The way back of a separable convolution that reads the images.
template <int K>
void stem_backward(const OutputGradients &output, const Input &input, const Geometry &geometry,
                   const ConvolutionWeights &weights, ConvolutionGradients to, int threads) {
    const int channels = input.shape.channels, filters = weights.filters;
    const auto products = tap_products<K>(output, input, geometry, filters, threads);
    for (int c = 0; c < channels; c++) {
        std::vector<double> pointwise(filters);
        for (int tap = 0; tap < K * K; tap++) {
            const double *sums = &products[size_t(tap * channels + c) * filters];
            double depthwise = 0;
            for (int f = 0; f < filters; f++) {
                depthwise += sums[f] * weights.pointwise[size_t(f) * channels + c];
                pointwise[f] += sums[f] * weights.depthwise[size_t(c) * K * K + tap];
            }
            to.depthwise[size_t(c) * K * K + tap] = float(depthwise);
        }
        for (int f = 0; f < filters; f++)
            to.pointwise[size_t(f) * channels + c] = float(pointwise[f]);
    }
}

}  // namespace
