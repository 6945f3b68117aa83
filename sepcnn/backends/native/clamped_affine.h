// The function clamp(scale · x + offset, low, high) of each channel, which kernels apply while they
// read an image, and its gradients.

#pragma once

#include "vectors.h"

namespace {

// Without scale and offset it is the identity.
struct ClampedAffine {
    const float *scale, *offset;
    float low, high;

    bool is_identity() const { return !scale; }
    Vector apply(Vector x, Vector scale, Vector offset) const {
        return clamp(scale * x + offset, low, high);
    }
    // Scales and offsets of the vector that begins at channel c.
    Vector scales(int c) const { return scale ? load(scale + c) : ZERO + 1; }
    Vector offsets(int c) const { return offset ? load(offset + c) : ZERO; }
};

// The way back through a ClampedAffine: returns gradients of x, and sums those of scale and offset.
struct ClampedAffineGradient {
    const Vector factor;
    const float low, high;
    Vector scale = ZERO, offset = ZERO;

    ClampedAffineGradient(const ClampedAffine &affine, Vector factor)
        : factor(factor), low(affine.low), high(affine.high) {}

    // The gradient of x, from those of the result. A value at a limit lets nothing through.
    Vector backward(Vector gradient, Vector x, Vector result) {
        gradient = ((result > low) & (result < high)) ? gradient : ZERO;
        scale += gradient * x;
        offset += gradient;
        return gradient * factor;
    }
};

// How loops go over a row of pixels: `columns` times `lanes` values.
//
// Usually a column is a pixel and the lanes are its channels. If the channels do not fill whole
// vectors and pixels are contiguous, the row is one column, so that only its last vector is not
// whole: an image of 3 channels would otherwise use 3 of 16 lanes.
struct RowLayout {
    int lanes, columns;

    RowLayout(int width, int channels, bool contiguous = true)
        : lanes(contiguous && channels % LANES ? width * channels : channels),
          columns(contiguous && channels % LANES ? 1 : width) {}
};

// One value per channel, repeated for all lanes of a layout.
Aligned<float> repeat_channels(const float *values, int channels, int lanes) {
    Aligned<float> result(lanes + LANES);
    for (int i = 0; values && i < lanes; i++) result[i] = values[i % channels];
    return result;
}

// A ClampedAffine that has a scale and an offset for each lane of a layout.
struct LaneAffine : ClampedAffine {
    Aligned<float> lane_scale, lane_offset;

    LaneAffine(ClampedAffine affine, int channels, int lanes)
        : ClampedAffine(affine), lane_scale(repeat_channels(affine.scale, channels, lanes)),
          lane_offset(repeat_channels(affine.offset, channels, lanes)) {
        scale = is_identity() ? nullptr : lane_scale.data();
        offset = is_identity() ? nullptr : lane_offset.data();
    }
    LaneAffine(const LaneAffine &) = delete;
};

}  // namespace
