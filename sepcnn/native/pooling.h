// Max pooling, with windows of 2×2 and 3×3.

#pragma once

#include "sums.h"
#include "window.h"

namespace {

struct Pool {
    int size, down, across, top, left, height, width;  // window, strides, margins, output
};

constexpr float LOWEST = -std::numeric_limits<float>::infinity();

// The pixels of one window, one vector of channels of each; outside of the image none is largest.
template <int SIZE> struct Pixels {
    Vector raw[SIZE][SIZE], seen[SIZE][SIZE], most = ZERO + LOWEST;

    template <class T, class Count>
    Pixels(const T *image, Shape in, int top, int left, int c, Count count, const View &view, Vector scale,
           Vector offset) {
        const bool inside = top >= 0 && left >= 0 && top + SIZE <= in.height && left + SIZE <= in.width;
        UNROLLED
        for (int i = 0; i < SIZE; i++)
            UNROLLED
            for (int j = 0; j < SIZE; j++) {
                const int y = top + i, x = left + j;
                const bool here = inside || (y >= 0 && y < in.height && x >= 0 && x < in.width);
                raw[i][j] = here ? load(image + (y * in.width + x) * in.channels + c, count) : ZERO;
                seen[i][j] = view.plain() ? raw[i][j] : view.at(raw[i][j], scale, offset);
                if (!here) seen[i][j] = ZERO + LOWEST;
                most = (seen[i][j] > most) | (seen[i][j] != seen[i][j]) ? seen[i][j] : most;
            }
    }
};

template <class T, int SIZE, bool WHOLE>
void max_pool(const T *x, Shape in, View as_is, Pool pool, T *y, int threads) {
    const int channels = in.channels;
    const SpreadView view(as_is, channels, channels);
    over_bands(threads, in.images, pool.height, [&](int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        for (int row = first; row < last; row++) {
            T *out = y + (size_t(n) * pool.height + row) * pool.width * channels;
            for (int c = 0; c < channels; c += LANES) {
                const auto count = counted<WHOLE>(channels - c);
                const Vector scale = view.scales(c), offset = view.offsets(c);
                for (int col = 0; col < pool.width; col++) {
                    const int top = row * pool.down - pool.top, left = col * pool.across - pool.left;
                    const Pixels<SIZE> pixels(image, in, top, left, c, count, view, scale, offset);
                    store(out + col * channels + c, pixels.most, count);
                }
            }
        }
    });
}

// Each pixel's part of a window's gradient: `add(row of the window, column, part)`. The first of
// equals gets it all.
template <int SIZE, class Add>
void share_out(const Pixels<SIZE> &pixels, Vector gradient, Shape in, int top, int left, ViewGradient &through,
               Add add) {
    gradient = through.inside(gradient, pixels.most);
    const Vector scaled = gradient * through.factor;
    through.offset += gradient;
    auto open = pixels.most == pixels.most;
    UNROLLED
    for (int i = 0; i < SIZE; i++)
        UNROLLED
        for (int j = 0; j < SIZE; j++) {
            const auto hit = open & (pixels.seen[i][j] == pixels.most);
            open &= ~hit;
            through.scale += (hit ? gradient : ZERO) * pixels.raw[i][j];
            const int y = top + i, x = left + j;
            if (y >= 0 && y < in.height && x >= 0 && x < in.width) add(i, x, hit ? scaled : ZERO);
        }
}

template <class T, int SIZE, bool WHOLE>
void max_pool_backward(const T *gradient, const T *x, Shape in, View as_is, Pool pool,
                       T *x_gradient, float *scale_gradient, float *offset_gradient, int threads) {
    const int channels = in.channels, step = whole(channels);
    const bool apart = pool.down >= SIZE && pool.across >= SIZE;
    const bool everywhere = apart && in.height == pool.height * SIZE && in.width == pool.width * SIZE;
    const SpreadView view(as_is, channels, channels);
    Sums sums(threads, 2, channels);
    over_bands(threads, in.images, 1, [&](int n, int, int) {
        const size_t size = size_t(in.height) * in.width * channels;
        const T *image = x + n * size, *from = gradient + size_t(n) * pool.height * pool.width * channels;
        T *to = x_gradient + n * size;
        if (!everywhere) std::fill(to, to + size, T());
        // Where windows overlap, gradients are added up in the rows that they reach.
        const int rows = SIZE + pool.down;
        Aligned<float> found(apart ? 0 : size_t(rows) * in.width * step);
        auto row_of = [&](int y) { return &found[size_t(y % rows) * in.width * step]; };
        int done = 0;  // rows that are written
        for (int row = 0; row <= pool.height; row++) {
            const int top = row * pool.down - pool.top;
            // No later window reaches the rows above this one.
            for (const int open = row < pool.height ? std::max(top, 0) : in.height; !apart && done < open; done++)
                for (int col = 0; col < in.width; col++)
                    for (int c = 0; c < channels; c += LANES) {
                        float *sum = row_of(done) + col * step + c;
                        store(to + (size_t(done) * in.width + col) * channels + c, load(sum),
                              counted<WHOLE>(channels - c));
                        store(sum, ZERO);
                    }
            if (row == pool.height) break;
            float *sums_of[SIZE];
            for (int i = 0; i < SIZE && !apart; i++) sums_of[i] = row_of(std::max(top + i, 0));
            for (int c = 0; c < channels; c += LANES) {
                const auto count = counted<WHOLE>(channels - c);
                const Vector scale = view.scales(c), offset = view.offsets(c);
                ViewGradient through(view, scale);
                for (int col = 0; col < pool.width; col++) {
                    const int left = col * pool.across - pool.left;
                    const Pixels<SIZE> pixels(image, in, top, left, c, count, view, scale, offset);
                    const Vector g = load(from + (size_t(row) * pool.width + col) * channels + c, count);
                    if (apart)
                        share_out(pixels, g, in, top, left, through, [&](int i, int x, Vector part) {
                            store(to + (size_t(top + i) * in.width + x) * channels + c, part, count);
                        });
                    else
                        share_out(pixels, g, in, top, left, through, [&](int i, int x, Vector part) {
                            float *sum = sums_of[i] + x * step + c;
                            store(sum, load(sum) + part);
                        });
                }
                sums.add(0, c, through.scale);
                sums.add(1, c, through.offset);
            }
        }
        sums.settle();
    });
    if (view.plain()) return;
    sums.write(0, scale_gradient, channels);
    sums.write(1, offset_gradient, channels);
}

}  // namespace
