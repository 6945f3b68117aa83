// Separable convolution: a depthwise step, then a product over the channels. With K = 1 and without
// a depthwise kernel it is a 1 × 1 convolution.
//
// The output of the depthwise step never reaches memory: it is made row by row, and multiplied in
// the cache.

#pragma once

#include "depthwise.h"
#include "multiply.h"

namespace {

// Some pixels × channels as words; channels are the inner dimension. If an odd channel is left
// over, each pixel is padded with a zero.
struct WordRows {
    int channels, stride;  // words per pixel
    Aligned<Operand> operands;

    WordRows(int pixels, int channels)
        : channels(channels), stride(words_of(channels)),
          operands(size_t(pixels) * stride * DEPTH + LANES) {}

    const Word *words() const { return reinterpret_cast<const Word *>(operands.data()); }
    // Inserts the padding after pixels were written without it.
    void pad(int pixels) {
        const int padded = stride * DEPTH;
        if (padded == channels) return;
        for (int p = pixels - 1; p >= 0; p--) {
            std::memmove(&operands[size_t(p) * padded], &operands[size_t(p) * channels],
                         sizeof(Operand) * channels);
            operands[size_t(p) * padded + channels] = 0;
        }
    }
};

// Most values of the pointwise gradients of all tasks together: 2 MB of float stay in a cache.
constexpr size_t MOST_GRADIENTS = 1 << 19;

// Pixels that a product should have: it reads the whole pointwise kernel, or reads and writes its
// gradient, once.
constexpr int PRODUCT_PIXELS = 64;
// On the way back several rows need a copy, since their gradients are made long before they are
// used. From this width on a row is multiplied alone instead, without the copy.
constexpr int WIDE = PRODUCT_PIXELS / 2;

// Output rows that are multiplied together: groups of nearly equal height.
int rows_per_product(const Geometry &geometry) {
    const int most = std::max(1, PRODUCT_PIXELS / geometry.width);
    const int groups = (geometry.height + most - 1) / most;
    return (geometry.height + groups - 1) / groups;
}

// Writes y, and the moments of each of its channels.
template <int K>
void separable(const Input &input, const Geometry &geometry, const ConvolutionWeights &weights,
               Element *y, Moments moments, int threads) {
    const int channels = input.shape.channels, filters = weights.filters;
    const int width = geometry.width, step = geometry.stride_across * channels;
    const RowLayout layout(width, channels, geometry.stride_across == 1);
    const Taps<K * K> taps(weights.depthwise, channels, layout.lanes, false);
    const auto pointwise = packed(weights.pointwise, channels, filters, 1, channels);
    const int together = rows_per_product(geometry);
    Sums sums(threads, 2, filters);
    for_each_output_band<K>(
        input, geometry, threads, sums, [&](InputRows<K> &rows, int image, int first, int last) {
            WordRows middle(together * width, channels);
            const Sums::Partial partial = sums.of_thread();
            for (int row = first; row < last; row += together) {
                const int count = std::min(together, last - row);
                for (int i = 0; i < count; i++) {
                    const int top = geometry.top(row + i);
                    rows.advance_to(top);
                    with_fit(layout.lanes, [&](auto fit) {
                        convolve_row<false, K>(fit, rows, top, taps, layout, channels, step,
                                               &middle.operands[size_t(i) * width * channels],
                                               partial);
                    });
                }
                middle.pad(count * width);
                Element *to = y + geometry.start(image, row) * filters;
                multiply(middle.words(), count * width, pointwise,
                         StoredWithMoments{{to, filters, filters}, partial.of(0), partial.of(1)});
            }
        });
    sums.write_moments(moments, filters, input.shape.images * geometry.pixels());
}

// What a thread holds on the way back through the pointwise step: rows that are multiplied
// together.
struct PointwiseBackward {
    const int width, channels, filters, together, words_per_row;
    WordRows y_gradient;
    Aligned<float> middle_gradient;  // of the output of the depthwise step
    Left middles;  // the output of the depthwise step; pixels are the inner dimension
    Right y_gradients;  // pixels are the inner dimension

    PointwiseBackward(const Geometry &geometry, int channels, int filters)
        : width(geometry.width), channels(channels), filters(filters),
          together(rows_per_product(geometry)), words_per_row(words_of(width)),
          y_gradient(together * width, filters),
          middle_gradient(size_t(together) * width * channels),
          middles(together * words_per_row, channels),
          y_gradients(together * words_per_row, filters) {}

    // Writes the gradient of some rows of the depthwise output, pixels `step` values apart. `pixel`
    // is the first in y, `place` the place of the first row among those that are held here.
    void multiply_back(const OutputGradientRows &gradient, size_t pixel, int place, int rows,
                       const Right &pointwise, float *to, int step) {
        for (int i = 0; i < rows; i++) {
            Operand *row = &y_gradient.operands[size_t(i) * width * filters];
            gradient.write(pixel + size_t(i) * width, row);
            y_gradients.put((place + i) * words_per_row, row, width);
        }
        y_gradient.pad(rows * width);
        multiply(y_gradient.words(), rows * width, pointwise, Stored<float>{to, channels, step});
    }
    // The same for one row of narrow images, which is computed with the rows that follow it.
    void row_back(const OutputGradientRows &gradient, size_t pixel, int place, int rows,
                  const Right &pointwise, float *to, int step) {
        if (width >= WIDE) return multiply_back(gradient, pixel, place, 1, pointwise, to, step);
        if (place == 0)
            multiply_back(gradient, pixel, 0, rows, pointwise, middle_gradient.data(), channels);
        const float *from = &middle_gradient[size_t(place) * width * channels];
        for (int p = 0; p < width; p++, from += channels, to += step)
            std::copy(from, from + channels, to);
    }
    // Adds what the rows held here contribute to the gradient of the pointwise kernel.
    void add_kernel_gradient(int rows, float *to) {
        multiply(middles, y_gradients, rows * words_per_row, Added{to, y_gradients.columns});
    }
};

template <int K>
void separable_backward(const OutputGradients &output, const Input &input, const Geometry &geometry,
                        const ConvolutionWeights &weights, ConvolutionGradients to, int threads) {
    const Shape shape = input.shape;
    const int channels = shape.channels, filters = weights.filters, width = geometry.width;
    const int step = geometry.stride_across * channels;
    const RowLayout layout(width, channels, geometry.stride_across == 1);
    const Taps<K * K> taps(weights.depthwise, channels, layout.lanes, false);
    const auto pointwise = packed(weights.pointwise, filters, channels, channels, 1);
    const OutputGradientRows gradient(output, shape.images, geometry, filters, filters);
    DepthwiseBackward<K> depthwise(input, geometry, weights.depthwise, threads);
    // Each task has its own gradient of the pointwise kernel: fewer tasks if it is large.
    const int stride = round_up_to_lanes(filters);
    const size_t size = size_t(channels) * stride;
    const Tasks tasks(threads, shape.images, MOST_GRADIENTS / size);
    std::vector<Aligned<float>> kernel_gradients(tasks.count);
#pragma omp parallel num_threads(threads)
    {
        auto rows = depthwise.make_rows();
        PointwiseBackward back(geometry, channels, filters);
        Aligned<Operand> middle(width * channels + LANES);
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++) {
            kernel_gradients[task].resize(size);
            // The depthwise output is computed again: it was never written.
            const auto make = [&](int image, int row, int top, float *to_row) {
                const int place = row % back.together;
                const int count = std::min(back.together, geometry.height - row + place);
                back.row_back(gradient, geometry.start(image, row), place, count, pointwise, to_row,
                              step);
                with_fit(layout.lanes, [&](auto fit) {
                    convolve_row<false, K>(fit, rows.input, top, taps, layout, channels, step,
                                           middle.data(), {});
                });
                back.middles.put(place * back.words_per_row, middle.data(), width);
                if (place == count - 1)
                    back.add_kernel_gradient(count, kernel_gradients[task].data());
            };
            for (int image = tasks.begin(task); image < tasks.end(task); image++)
                depthwise.backward(task, image, rows, to.x, [&](int row, int top, float *to_row) {
                    make(image, row, top, to_row);
                });
        }
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++)
            for (int f = 0; f < filters; f++) {
                double total = 0;
                for (const auto &part : kernel_gradients) total += part[size_t(c) * stride + f];
                to.pointwise[size_t(f) * channels + c] = float(total);
            }
    }
    depthwise.write(to);
}

}  // namespace
