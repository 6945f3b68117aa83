// Operations pixel by pixel: moments of the channels, and what a view shows.

#pragma once

#include "window.h"

namespace {

constexpr int CHUNK = 64;  // pixels whose sums are float

// Vectors of CHUNK pixels; the work gets the first value, how many there are, and the lane.
template <class Start, class Work, class End>
void over_pixels(int threads, long pixels, int channels, Sums &sums, Start start, Work work, End end) {
    const Tasks tasks(threads, (pixels + CHUNK - 1) / CHUNK);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int task = 0; task < tasks.count; task++)
        for (long chunk = tasks.begin(task); chunk < tasks.end(task); chunk++) {
            const long first = chunk * CHUNK;
            const Row cut(int(std::min(pixels - first, long(CHUNK))), channels);
            for (int c = 0; c < cut.lanes; c += LANES) {
                auto state = start(c);
                for (int i = 0; i < cut.columns; i++)
                    work(state, (first + i) * channels + c, cut.lanes - c);
                end(state, c);
            }
            sums.settle(task);
        }
}

// Mean and variance of each channel.
template <class T> void moments(const T *x, long pixels, int channels, Moments to, int threads) {
    struct Two {
        Vector sum = ZERO, squares = ZERO;
    };
    Sums sums(threads, 2, Row(CHUNK, channels).lanes);
    over_pixels(
        threads, pixels, channels, sums, [](int) { return Two(); },
        [&](Two &two, long at, int count) {
            fetch(x + at + CHUNK * channels);
            const Vector value = load(x + at, count);
            two.sum += value;
            two.squares += value * value;
        },
        [&](const Two &two, int c) {
            sums.mine().add(0, c, two.sum);
            sums.mine().add(1, c, two.squares);
        });
    sums.write_moments(to, channels, pixels);
}

// What comes back through x itself, and through its moments.
template <class T>
void moments_backward(Result<T> result, long pixels, int channels, T *x_gradient, int threads) {
    const T *gradient = result.gradient, *x = result.y;
    const MomentGradients of(result.mean, result.gradients, channels, Row(CHUNK, channels).lanes, pixels);
    Sums none(threads, 0, 0);
    struct Two {
        Vector once, twice;
    };
    over_pixels(
        threads, pixels, channels, none,
        [&](int c) { return Two{load(&of.once[c]), load(&of.twice[c])}; },
        [&](const Two &two, long at, int count) {
            fetch(gradient + at + CHUNK * channels), fetch(x + at + CHUNK * channels);
            const Vector g = load(gradient + at, count);
            store(x_gradient + at, g + two.once + two.twice * load(x + at, count), count);
        },
        [](const Two &, int) {});
}

// The sum of two images as they are seen.
template <class T>
void add(const T *x, const T *other, long pixels, int channels, View as_is, View other_as_is, T *y, int threads) {
    const int lanes = Row(CHUNK, channels).lanes;
    const SpreadView view(as_is, channels, lanes), other_view(other_as_is, channels, lanes);
    Sums none(threads, 0, 0);
    struct Two {
        Vector scale, offset, other_scale, other_offset;
    };
    over_pixels(
        threads, pixels, channels, none,
        [&](int c) {
            return Two{view.scales(c), view.offsets(c), other_view.scales(c), other_view.offsets(c)};
        },
        [&](const Two &two, long at, int count) {
            fetch(x + at + CHUNK * channels), fetch(other + at + CHUNK * channels);
            const Vector one = view.at(load(x + at, count), two.scale, two.offset);
            store(y + at, one + other_view.at(load(other + at, count), two.other_scale, two.other_offset), count);
        },
        [](const Two &, int) {});
}

// What a view shows, written down.
template <class T>
void see(const T *x, long pixels, int channels, View as_is, T *y, int threads) {
    const SpreadView view(as_is, channels, Row(CHUNK, channels).lanes);
    Sums none(threads, 0, 0);
    struct Two {
        Vector scale, offset;
    };
    over_pixels(
        threads, pixels, channels, none, [&](int c) { return Two{view.scales(c), view.offsets(c)}; },
        [&](const Two &two, long at, int count) {
            fetch(x + at + CHUNK * channels);
            store(y + at, view.at(load(x + at, count), two.scale, two.offset), count);
        },
        [](const Two &, int) {});
}

template <class T>
void see_backward(const T *gradient, const T *x, long pixels, int channels, View as_is,
                  T *x_gradient, float *scale_gradient, float *offset_gradient, int threads) {
    const int lanes = Row(CHUNK, channels).lanes;
    const SpreadView view(as_is, channels, lanes);
    Sums sums(threads, 2, lanes);
    struct State {
        Vector scale, offset;
        ViewGradient through;
    };
    over_pixels(
        threads, pixels, channels, sums,
        [&](int c) { return State{view.scales(c), view.offsets(c), {view, view.scales(c)}}; },
        [&](State &state, long at, int count) {
            fetch(gradient + at + CHUNK * channels), fetch(x + at + CHUNK * channels);
            const Vector raw = load(x + at, count);
            const Vector seen = view.at(raw, state.scale, state.offset);
            const Vector g = load(gradient + at, count);
            store(x_gradient + at, state.through.of(g, raw, seen), count);
        },
        [&](const State &state, int c) {
            sums.mine().add(0, c, state.through.scale);
            sums.mine().add(1, c, state.through.offset);
        });
    sums.write(0, scale_gradient, channels);
    sums.write(1, offset_gradient, channels);
}

}  // namespace
