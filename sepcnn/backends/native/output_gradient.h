// The gradient of an operation's output y: what autograd gives, plus what comes through its
// moments.

#pragma once

#include "rows.h"

namespace {

// The gradients of y and, unless null, of the moments of y.
struct OutputGradients {
    const Element *gradient, *y;
    const float *mean;
    Moments of_moments;
};

// What the moments of `count` values add to the gradient of each value y: constant + linear · y.
//
// With mean = Σ y / count and variance = Σ y² / count - mean² the derivatives are 1 / count and
// 2 · (y - mean) / count.
struct MomentTerms {
    Aligned<float> constant, linear;

    MomentTerms(const float *mean, Moments gradients, int channels, int lanes, size_t count)
        : constant(lanes + LANES), linear(lanes + LANES) {
        for (int i = 0; gradients.mean && i < lanes; i++) {
            const int c = i % channels;
            linear[i] = 2 * gradients.variance[c] / count;
            constant[i] = gradients.mean[c] / count - linear[i] * mean[c];
        }
    }
};

// The whole gradient of an operation's output, row by row.
struct OutputGradientRows {
    const Element *gradient, *y;
    const int width, channels, step;
    const RowLayout layout;
    const MomentTerms terms;

    // Rows are written with `step` values from one pixel to the next.
    OutputGradientRows(OutputGradients output, int images, Geometry geometry, int channels,
                       int step)
        : gradient(output.gradient), y(output.of_moments.mean ? output.y : nullptr),
          width(geometry.width), channels(channels), step(step),
          layout(width, channels, step == channels),
          terms(output.mean, output.of_moments, channels, layout.lanes,
                images * geometry.pixels()) {}

    // Writes the row that begins at a pixel, as counted by Geometry::start.
    template <class To> void write(size_t pixel, To *to) const {
        const size_t start = pixel * channels;
        with_fit(layout.lanes, [&](auto fit) {
            add(fit, gradient + start, y ? y + start : nullptr, terms, layout, channels, to, step);
        });
    }

    template <class Fit, class To>
    NOINLINE static void add(Fit fit, const Element *gradient, const Element *y,
                             const MomentTerms &terms, RowLayout layout, int channels, To *to,
                             int step) {
        const float *constant = terms.constant.data(), *linear = terms.linear.data();
        for (int p = 0; p < layout.columns; p++)
            for (int c = 0; c < layout.lanes; c += LANES) {
                const int at = p * channels + c;
                const auto count = lane_count(fit, layout.lanes - c);
                prefetch(gradient + at + layout.columns * layout.lanes);
                Vector g = load(gradient + at, count);
                if (y) {
                    prefetch(y + at + layout.columns * layout.lanes);
                    g += load(constant + c) + load(linear + c) * load(y + at, count);
                }
                store(to + p * step + c, g, count);
            }
    }
};

}  // namespace
