// Operations that treat each pixel alone: moments of the channels, clamped affine functions, sums.

#pragma once

#include "output_gradient.h"

namespace {

// Pixels that are summed in float before they are flushed to double, and the distance of
// prefetches. A chunk of 64 pixels with 64 channels is 16 KB of float, half of a first cache of 32
// KB.
constexpr int CHUNK = 64;

// For each vector of channels of each chunk: state = start(lane), then work(state, index, count)
// for each pixel, then end(state, lane). `count` is the number of values left in the row. The state
// stays in registers.
template <class Start, class Work, class End>
void for_each_chunk(int threads, long pixels, int channels, Sums &sums, Start start, Work work,
                    End end) {
    const Tasks tasks(threads, (pixels + CHUNK - 1) / CHUNK);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int task = 0; task < tasks.count; task++)
        for (long chunk = tasks.begin(task); chunk < tasks.end(task); chunk++) {
            const long first = chunk * CHUNK;
            const RowLayout layout(int(std::min(pixels - first, long(CHUNK))), channels);
            for (int c = 0; c < layout.lanes; c += LANES) {
                auto state = start(c);
                for (int i = 0; i < layout.columns; i++)
                    work(state, (first + i) * channels + c, layout.lanes - c);
                end(state, c);
            }
            sums.flush(task);
        }
}

void moments(const Element *x, long pixels, int channels, Moments to, int threads) {
    struct State {
        Vector sum = ZERO, squares = ZERO;
    };
    Sums sums(threads, 2, RowLayout(CHUNK, channels).lanes);
    for_each_chunk(
        threads, pixels, channels, sums, [](int) { return State(); },
        [&](State &state, long at, int count) {
            prefetch(x + at + CHUNK * channels);
            const Vector value = load(x + at, count);
            state.sum += value;
            state.squares += value * value;
        },
        [&](const State &state, int c) {
            sums.of_thread().add(0, c, state.sum);
            sums.of_thread().add(1, c, state.squares);
        });
    sums.write_moments(to, channels, pixels);
}

// The gradient of x, from the gradients of its copy `output.y` and of the moments of the copy.
void moments_backward(OutputGradients output, long pixels, int channels, Element *x_gradient,
                      int threads) {
    const Element *gradient = output.gradient, *x = output.y;
    const int lanes = RowLayout(CHUNK, channels).lanes;
    const MomentTerms terms(output.mean, output.of_moments, channels, lanes, pixels);
    Sums none(threads, 0, 0);
    struct State {
        Vector constant, linear;
    };
    for_each_chunk(
        threads, pixels, channels, none,
        [&](int c) { return State{load(&terms.constant[c]), load(&terms.linear[c])}; },
        [&](const State &state, long at, int count) {
            prefetch(gradient + at + CHUNK * channels), prefetch(x + at + CHUNK * channels);
            const Vector g = load(gradient + at, count);
            const Vector sum = g + state.constant + state.linear * load(x + at, count);
            store(x_gradient + at, sum, count);
        },
        [](const State &, int) {});
}

// y = affine(x) + other_affine(other)
void add(const Element *x, const Element *other, long pixels, int channels,
         ClampedAffine channel_affine, ClampedAffine other_channel_affine, Element *y,
         int threads) {
    const int lanes = RowLayout(CHUNK, channels).lanes;
    const LaneAffine affine(channel_affine, channels, lanes);
    const LaneAffine other_affine(other_channel_affine, channels, lanes);
    Sums none(threads, 0, 0);
    struct State {
        Vector scale, offset, other_scale, other_offset;
    };
    for_each_chunk(
        threads, pixels, channels, none,
        [&](int c) {
            return State{affine.scales(c), affine.offsets(c), other_affine.scales(c),
                         other_affine.offsets(c)};
        },
        [&](const State &state, long at, int count) {
            prefetch(x + at + CHUNK * channels), prefetch(other + at + CHUNK * channels);
            const Vector a = affine.apply(load(x + at, count), state.scale, state.offset);
            const Vector b =
                other_affine.apply(load(other + at, count), state.other_scale, state.other_offset);
            store(y + at, a + b, count);
        },
        [](const State &, int) {});
}

// y = affine(x)
void clamped_affine(const Element *x, long pixels, int channels, ClampedAffine channel_affine,
                    Element *y, int threads) {
    const LaneAffine affine(channel_affine, channels, RowLayout(CHUNK, channels).lanes);
    Sums none(threads, 0, 0);
    struct State {
        Vector scale, offset;
    };
    for_each_chunk(
        threads, pixels, channels, none,
        [&](int c) { return State{affine.scales(c), affine.offsets(c)}; },
        [&](const State &state, long at, int count) {
            prefetch(x + at + CHUNK * channels);
            store(y + at, affine.apply(load(x + at, count), state.scale, state.offset), count);
        },
        [](const State &, int) {});
}

void clamped_affine_backward(const Element *gradient, const Element *x, long pixels, int channels,
                             ClampedAffine channel_affine, Element *x_gradient,
                             float *scale_gradient, float *offset_gradient, int threads) {
    const int lanes = RowLayout(CHUNK, channels).lanes;
    const LaneAffine affine(channel_affine, channels, lanes);
    Sums sums(threads, 2, lanes);
    struct State {
        Vector scale, offset;
        ClampedAffineGradient through;
    };
    for_each_chunk(
        threads, pixels, channels, sums,
        [&](int c) {
            return State{affine.scales(c), affine.offsets(c), {affine, affine.scales(c)}};
        },
        [&](State &state, long at, int count) {
            prefetch(gradient + at + CHUNK * channels), prefetch(x + at + CHUNK * channels);
            const Vector value = load(x + at, count);
            const Vector result = affine.apply(value, state.scale, state.offset);
            const Vector g = load(gradient + at, count);
            store(x_gradient + at, state.through.backward(g, value, result), count);
        },
        [&](const State &state, int c) {
            sums.of_thread().add(0, c, state.through.scale);
            sums.of_thread().add(1, c, state.through.offset);
        });
    sums.write(0, scale_gradient, channels);
    sums.write(1, offset_gradient, channels);
}

}  // namespace
