// How an operation sees the image that it reads.

#pragma once

#include "vectors.h"

namespace {

// How an operation sees its input; without scale and offset as it is.
struct View {
    const float *scale, *offset;
    float low, high;

    bool plain() const { return !scale; }
    Vector at(Vector x, Vector scale, Vector offset) const {
        return clamp(scale * x + offset, low, high);
    }
    Vector scales(int c) const { return scale ? load(scale + c) : ZERO + 1; }
    Vector offsets(int c) const { return offset ? load(offset + c) : ZERO; }
};

// Gradient of a view, from the gradient of what is seen: of x, and sums for scale and offset.
struct ViewGradient {
    const Vector factor;
    const float low, high;
    Vector scale = ZERO, offset = ZERO;

    ViewGradient(const View &view, Vector factor) : factor(factor), low(view.low), high(view.high) {}

    // What comes through the clamp.
    Vector inside(Vector gradient, Vector seen) const {
        return ((seen > low) & (seen < high)) ? gradient : ZERO;
    }
    Vector of(Vector gradient, Vector x, Vector seen) {
        gradient = inside(gradient, seen);
        scale += gradient * x;
        offset += gradient;
        return gradient * factor;
    }
};

// A row of pixels is `columns` times `lanes` values: of each pixel its channels, or all pixels at
// once where the channels do not fill whole vectors and nothing lies between pixels.
struct Row {
    int lanes, columns;

    Row(int width, int channels, bool dense = true)
        : lanes(dense && channels % LANES ? width * channels : channels),
          columns(dense && channels % LANES ? 1 : width) {}
};

// One value a channel, repeated for all lanes.
Aligned<float> spread(const float *values, int channels, int lanes) {
    Aligned<float> result(lanes + LANES);
    for (int i = 0; values && i < lanes; i++) result[i] = values[i % channels];
    return result;
}

// A view whose scale and offset are spread over the lanes of a row.
struct SpreadView : View {
    Aligned<float> wide_scale, wide_offset;

    SpreadView(View view, int channels, int lanes)
        : View(view), wide_scale(spread(view.scale, channels, lanes)),
          wide_offset(spread(view.offset, channels, lanes)) {
        scale = plain() ? nullptr : wide_scale.data();
        offset = plain() ? nullptr : wide_offset.data();
    }
    SpreadView(const SpreadView &) = delete;
};

}  // namespace
