// Depthwise convolution: each channel has its own kernel of K × K taps.

#pragma once

#include "output_gradient.h"

namespace {

// The weights of a convolution; those that it does not have are null.
struct ConvolutionWeights {
    const float *depthwise;  // channels × K × K
    const float *pointwise;  // filters × channels
    const float *dense;  // filters × K × K × channels, without the other two
    int filters;
};

// Where to write gradients; null for those that are not needed.
struct ConvolutionGradients {
    Element *x;
    float *scale, *offset, *depthwise, *pointwise, *dense;
};

// A depthwise kernel as TAPS × lanes, in the order of the loops; without a kernel all taps are 1.
// Rotated by 180° it is the kernel of the gradient.
template <int TAPS> struct Taps {
    Aligned<float> values;
    int stride;

    Taps(const float *kernel, int channels, int lanes, bool rotated)
        : values(size_t(TAPS) * round_up_to_lanes(lanes)), stride(round_up_to_lanes(lanes)) {
        for (int tap = 0; tap < TAPS; tap++)
            for (int i = 0; i < lanes; i++)
                values[size_t(rotated ? TAPS - 1 - tap : tap) * stride + i] =
                    kernel ? kernel[i % channels * TAPS + tap] : 1;
    }
    Vector at(int tap, int lane) const { return load(&values[size_t(tap) * stride + lane]); }
};

// Computes an output row from the K input rows that begin at `top`; pixels are `step` values apart.
// If MOMENTS, adds its values and their squares to sums.
//
// The loop over channels is outside: the K · K taps of a vector of channels stay in registers for
// the whole row. The row itself is in the cache. The products of a pixel are one chain of
// additions: three shorter chains did not help (the log).
template <bool MOMENTS, int K, class Fit, class To>
NOINLINE void convolve_row(Fit fit, InputRows<K> &input, int top, const Taps<K * K> &taps,
                           RowLayout layout, int channels, int step, To *to, Sums::Partial sums) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = input.padded_row(top + i);
    for (int c = 0; c < layout.lanes; c += LANES) {
        Vector tap[K][K], total = ZERO, squares = ZERO;
        const float *from[K];
        UNROLLED
        for (int i = 0; i < K; i++) {
            from[i] = rows[i] + c;
            UNROLLED
            for (int j = 0; j < K; j++) tap[i][j] = taps.at(i * K + j, c);
        }
        const auto count = lane_count(fit, layout.lanes - c);
        To *at = to + c;
        for (int p = 0; p < layout.columns; p++, at += channels) {
            Vector sum = ZERO;
            UNROLLED
            for (int i = 0; i < K; i++) {
                UNROLLED
                for (int j = 0; j < K; j++) sum += load(from[i] + j * channels) * tap[i][j];
                from[i] += step;
            }
            store(at, sum, count);
            if (MOMENTS) total += sum, squares += sum * sum;
        }
        if (!MOMENTS) continue;
        sums.add(0, c, total);
        sums.add(1, c, squares);
    }
}

// Writes y, and the moments of each of its channels.
template <int K>
void depthwise(const Input &input, const Geometry &geometry, const ConvolutionWeights &weights,
               Element *y, Moments moments, int threads) {
    const int channels = input.shape.channels, step = geometry.stride_across * channels;
    const RowLayout layout(geometry.width, channels, geometry.stride_across == 1);
    const Taps<K * K> taps(weights.depthwise, channels, layout.lanes, false);
    Sums sums(threads, 2, layout.lanes);
    for_each_output_band<K>(
        input, geometry, threads, sums, [&](InputRows<K> &rows, int image, int first, int last) {
            for (int row = first; row < last; row++) {
                const int top = geometry.top(row);
                rows.advance_to(top);
                with_fit(layout.lanes, [&](auto fit) {
                    convolve_row<true, K>(fit, rows, top, taps, layout, channels, step,
                                          y + geometry.start(image, row) * channels,
                                          sums.of_thread());
                });
            }
        });
    sums.write_moments(moments, channels, input.shape.images * geometry.pixels());
}

// Writes a row of the gradient of x, unless `to` is null, and adds to the sums of the gradients of
// the taps, the scale and the offset. `gradient` are K rows of the gradient of the depthwise
// output, padded; `values` is the row of the input as the convolution read it, `x` as it is in
// memory.
template <int K, class Fit>
NOINLINE void gradients_of_row(Fit fit, const float *const (&gradient)[K],
                               const Taps<K * K> &rotated, const float *values, const Element *x,
                               const ClampedAffine &read_as, RowLayout layout, int channels,
                               Sums::Partial sums, Element *to) {
    const ClampedAffine affine = read_as;
    for (int i = 0; to && i < layout.lanes * layout.columns; i += CACHE_LINE / sizeof(Element))
        prefetch_to_write(to + i);
    for (int c = 0; c < layout.lanes; c += LANES) {
        const auto count = lane_count(fit, layout.lanes - c);
        Vector tap[K][K], tap_gradient[K][K];
        const float *from[K], *value_at = values + c;
        ClampedAffineGradient through(affine, affine.scales(c));
        UNROLLED
        for (int i = 0; i < K; i++) {
            from[i] = gradient[i] + c;
            UNROLLED
            for (int j = 0; j < K; j++) {
                tap[i][j] = rotated.at(i * K + j, c);
                tap_gradient[i][j] = ZERO;
            }
        }
        const Element *x_at = x + c;
        Element *to_at = to ? to + c : nullptr;
        for (int p = 0; p < layout.columns; p++) {
            const Vector value = load(value_at);
            Vector sum = ZERO;
            UNROLLED
            for (int i = 0; i < K; i++) {
                UNROLLED
                for (int j = 0; j < K; j++) {
                    const Vector g = load(from[i] + j * channels);
                    sum += g * tap[i][j];
                    tap_gradient[i][j] += g * value;
                }
                from[i] += channels;
            }
            if (!affine.is_identity()) sum = through.backward(sum, load(x_at, count), value);
            if (to_at) store(to_at, sum, count), to_at += channels;
            value_at += channels, x_at += channels;
        }
        for (int tap = 0; tap < K * K; tap++) sums.add(tap, c, tap_gradient[tap / K][tap % K]);
        sums.add(K * K, c, through.scale);
        sums.add(K * K + 1, c, through.offset);
    }
}

// The way back through a depthwise convolution, row by row of the input.
//
// The gradient of a convolution is a convolution of the output's gradient, with the rotated kernel
// and stride 1, after zeros are put between its pixels where the strides left pixels out.
template <int K> struct DepthwiseBackward {
    const Input &input;
    const Geometry &geometry;
    const RowLayout layout;
    const Taps<K * K> rotated;
    const LaneAffine read_as;
    Sums sums;  // of the taps, the scale and the offset

    DepthwiseBackward(const Input &input, const Geometry &geometry, const float *kernel,
                      int threads)
        : input(input), geometry(geometry), layout(input.layout()),
          rotated(kernel, input.shape.channels, layout.lanes, true),
          read_as(input.read_as, input.shape.channels, layout.lanes),
          sums(threads, K * K + 2, layout.lanes) {}

    // What a thread holds of an image.
    struct Rows {
        InputRows<K> input;
        RowRing gradient;  // of the output, with the zeros of its strides
    };
    Rows make_rows() const {
        const int width = (geometry.width - 1) * geometry.stride_across + 1;
        const int before = K - 1 - geometry.padding_left;
        const int after = input.shape.width + K - 1 - before - width;
        return {{input, read_as, geometry}, {K, width, before, after, input.shape.channels}};
    }

    // Computes the gradients of one image, in a task. `make(row, top, to)` writes the gradient of
    // an output row, with its pixels stride_across apart. At that time the ring contains the input
    // rows of this output row, which start at `top`.
    template <class Make>
    void backward(int task, int image, Rows &rows, Element *x_gradient, Make make) {
        const Shape shape = input.shape;
        const Sums::Partial partial = sums.of_thread();
        rows.input.start_image(image);
        // Row r of the widened output needs input rows from r - padding_top on.
        for (int r = geometry.padding_top - K + 1; r < shape.height + geometry.padding_top; r++) {
            const int y = r - geometry.padding_top;
            rows.input.advance_to(y);
            float *to = rows.gradient.row(r);
            if (r < 0 || r % geometry.stride_down || r / geometry.stride_down >= geometry.height)
                std::fill(to, to + rows.gradient.width * shape.channels, 0.0f);
            else make(r / geometry.stride_down, y, to);
            if (y < 0) continue;
            // With row r all K rows are there that input row y contributed to.
            const size_t start = image * shape.image_size() + y * shape.row_size();
            const float *gradient[K];
            for (int i = 0; i < K; i++) gradient[i] = rows.gradient.padded_row(r - K + 1 + i);
            with_fit(layout.lanes, [&](auto fit) {
                gradients_of_row<K>(fit, gradient, rotated, rows.input.row(y), input.x + start,
                                    read_as, layout, shape.channels, partial,
                                    x_gradient ? x_gradient + start : nullptr);
            });
        }
        sums.flush(task);
    }

    void write(ConvolutionGradients to) const {
        const int channels = input.shape.channels;
        for (int tap = 0; to.depthwise && tap < K * K; tap++)
            sums.write(tap, to.depthwise + K * K - 1 - tap, channels, K * K);
        if (!to.scale) return;
        sums.write(K * K, to.scale, channels);
        sums.write(K * K + 1, to.offset, channels);
    }
};

template <int K>
void depthwise_backward(const OutputGradients &output, const Input &input, const Geometry &geometry,
                        const ConvolutionWeights &weights, ConvolutionGradients to, int threads) {
    const Shape shape = input.shape;
    DepthwiseBackward<K> depthwise(input, geometry, weights.depthwise, threads);
    const OutputGradientRows gradient(output, shape.images, geometry, shape.channels,
                                      geometry.stride_across * shape.channels);
    const Tasks tasks(threads, shape.images);
#pragma omp parallel num_threads(threads)
    {
        auto rows = depthwise.make_rows();
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++)
            for (int image = tasks.begin(task); image < tasks.end(task); image++)
                depthwise.backward(task, image, rows, to.x, [&](int row, int, float *to_row) {
                    gradient.write(geometry.start(image, row), to_row);
                });
    }
    depthwise.write(to);
}

}  // namespace
