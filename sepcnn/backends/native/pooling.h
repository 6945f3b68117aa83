// Max pooling, with windows of 2×2 and 3×3.
//
// A view puts values in the same order as they have in x or, where its scale is below zero, in the
// opposite one. So the values of x itself are chosen; what is seen of them is left to the reader.

#pragma once

#include "window.h"

namespace {

typedef uint8_t Places __attribute__((vector_size(LANES), aligned(1), may_alias));

Mask load_places(const uint8_t *from, int count) {
    uint8_t some[LANES] = {};
    if (count < LANES) from = static_cast<uint8_t *>(std::memcpy(some, from, count));
#if defined(__AVX512F__)
    return (Mask)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
#elif defined(__AVX2__)
    return (Mask)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(from)));
#else
    return __builtin_convertvector(*reinterpret_cast<const Places *>(from), Mask);
#endif
}

void store_places(uint8_t *to, Mask value, int count) {
#if defined(__AVX512F__)
    const __m128i places = _mm512_cvtepi32_epi8((__m512i)value);
#elif defined(__AVX2__)
    const __m256i wide = (__m256i)value;
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    const __m128i places = _mm_packus_epi16(halves, halves);
#else
    const Places places = __builtin_convertvector(value, Places);
#endif
    std::memcpy(to, &places, std::min(count, LANES));
}

// The value of one window that is largest as seen, and its place, row · SIZE + column.
template <int SIZE> struct Largest {
    Vector value = ZERO, key = ZERO;
    Mask place = {};

    // `here` tells which places are inside of the image. The first of equals wins; NaN is not hidden.
    template <class T, class Here, class Count>
    Largest(const T *corner, int row_stride, int stride, Vector sign, Here here, Count count) {
        Mask none = {};
        none = ~none;
        UNROLLED
        for (int i = 0; i < SIZE; i++)
            UNROLLED
            for (int j = 0; j < SIZE; j++) {
                if (!here(i, j)) continue;
                const Vector next = load(corner + i * row_stride + j * stride, count), next_key = next * sign;
                const Mask wins = none | (next_key > key) | (next_key != next_key);
                value = wins ? next : value;
                key = wins ? next_key : key;
                place = wins ? Mask{} + (i * SIZE + j) : place;
                none = Mask{};
            }
    }
};

template <class T, int SIZE>
void max_pool(const T *x, Shape in, const float *scale, Grid pool, T *y, uint8_t *places, int threads) {
    const int channels = in.channels;
    Aligned<float> signs(whole(channels), 1.0f);
    for (int c = 0; scale && c < channels; c++) signs[c] = float((scale[c] > 0) - (scale[c] < 0));
    over_bands(threads, in.images, pool.height, [&](int, int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        size_t to = (size_t(n) * pool.height + first) * pool.width * channels;
        for (int row = first; row < last; row++)
            for (int col = 0; col < pool.width; col++, to += channels) {
                const int top = row * pool.down - pool.top, left = col * pool.across - pool.left;
                const auto here = [=](int i, int j) {
                    return top + i >= 0 && top + i < in.height && left + j >= 0 && left + j < in.width;
                };
                const T *corner = image + (long(top) * in.width + left) * channels;
                const bool inside = here(0, 0) && here(SIZE - 1, SIZE - 1);
                with_fit(channels, [&](auto fit) {
                    for (int c = 0; c < channels; c += LANES) {
                        const auto count = counted(fit, channels - c);
                        auto find = [&](auto here) {
                            const Largest<SIZE> found(corner + c, in.width * channels, channels, load(&signs[c]),
                                                      here, count);
                            store(y + to + c, found.value, count);
                            store_places(places + to + c, found.place, count);
                        };
                        if (inside) find([](int, int) { return true; });
                        else find(here);
                    }
                });
            }
    });
}

// The first window that reaches a row or column, counted from the first window's edge.
int first_window(int at, int size, int stride) { return at < size ? 0 : (at - size) / stride + 1; }

// Row y of the gradient of image n: each pixel has the gradients of the windows that chose it.
template <int SIZE, class Fit, class T>
APART void route_row(Fit fit, const T *gradient, const uint8_t *places, Shape in, Grid pool, int n, int y, T *to) {
    const int channels = in.channels;
    const size_t start = size_t(n) * pool.height * pool.width * channels;
    const int from_top = y + pool.top, top = first_window(from_top, SIZE, pool.down);
    const int bottom = std::min(pool.height - 1, from_top / pool.down);
    for (int x = 0; x < in.width; x++, to += channels) {
        const int from_left = x + pool.left, left = first_window(from_left, SIZE, pool.across);
        const int right = std::min(pool.width - 1, from_left / pool.across);
        // The windows that this pixel lies in, and its place in each.
        const T *gradients[SIZE * SIZE];
        const uint8_t *chosen[SIZE * SIZE];
        int own[SIZE * SIZE], windows = 0;
        for (int row = top; row <= bottom; row++)
            for (int col = left; col <= right; col++, windows++) {
                const size_t at = start + (size_t(row) * pool.width + col) * channels;
                gradients[windows] = gradient + at, chosen[windows] = places + at;
                own[windows] = (from_top - row * pool.down) * SIZE + from_left - col * pool.across;
            }
        for (int c = 0; c < channels; c += LANES) {
            const auto count = counted(fit, channels - c);
            Vector sum = ZERO;
            for (int i = 0; i < windows; i++)
                sum += load_places(chosen[i] + c, count) == own[i] ? load(gradients[i] + c, count) : ZERO;
            store(to + c, sum, count);
        }
    }
}

template <class T, int SIZE>
void max_pool_backward(const T *gradient, const uint8_t *places, Shape in, Grid pool, T *x_gradient, int threads) {
    const size_t row_size = size_t(in.width) * in.channels;
    over_bands(threads, in.images, in.height, [&](int, int n, int first, int last) {
        with_fit(in.channels, [&](auto fit) {
            for (int y = first; y < last; y++)
                route_row<SIZE>(fit, gradient, places, in, pool, n, y,
                                x_gradient + (size_t(n) * in.height + y) * row_size);
        });
    });
}

}  // namespace
