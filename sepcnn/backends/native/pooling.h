// Max pooling over K × K pixels.
//
// A ClampedAffine keeps the order of values or, if its scale is negative, reverses it. So pooling
// chooses among the values of x in memory, by the sign of the scale, and leaves the function to the
// reader of the result. It remembers the place of each value chosen, row · K + column, so that the
// way back compares nothing (15.4 → 7 ms in the log).

#pragma once

#include "rows.h"

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
    const __m128i halves =
        _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    const __m128i places = _mm_packus_epi16(halves, halves);
#else
    const Places places = __builtin_convertvector(value, Places);
#endif
    std::memcpy(to, &places, std::min(count, LANES));
}

// The value under one kernel for which sign · value is largest, and its place. Of equal values the
// first is chosen; NaN is chosen before numbers, so that it is not hidden.
template <int K> struct Largest {
    Vector value = ZERO, key = ZERO;
    Mask place = {};

    // `inside(i, j)` is whether a place is inside the image.
    template <class Inside, class Count>
    Largest(const Element *corner, int row_stride, int stride, Vector sign, Inside inside,
            Count count) {
        Mask none = {};
        none = ~none;
        UNROLLED
        for (int i = 0; i < K; i++) {
            UNROLLED
            for (int j = 0; j < K; j++) {
                if (!inside(i, j)) continue;
                const Vector next = load(corner + i * row_stride + j * stride, count);
                const Vector next_key = next * sign;
                const Mask wins = none | (next_key > key) | (next_key != next_key);
                value = wins ? next : value;
                key = wins ? next_key : key;
                place = wins ? Mask{} + (i * K + j) : place;
                none = Mask{};
            }
        }
    }
};

// Writes an output row, from `y` and `places` on.
template <int K, class Fit>
NOINLINE void max_pool_row(Fit fit, const Element *image, Shape shape, Geometry geometry,
                           const float *signs, int row, Element *y, uint8_t *places) {
    const int channels = shape.channels, top = geometry.top(row);
    for (int column = 0; column < geometry.width; column++, y += channels, places += channels) {
        const int left = column * geometry.stride_across - geometry.padding_left;
        const Element *corner = image + (long(top) * shape.width + left) * channels;
        const auto inside = [=](int i, int j) {
            return top + i >= 0 && top + i < shape.height && left + j >= 0 &&
                   left + j < shape.width;
        };
        const bool all_inside = inside(0, 0) && inside(K - 1, K - 1);
        for (int c = 0; c < channels; c += LANES) {
            const auto count = lane_count(fit, channels - c);
            const auto choose = [&](auto inside) {
                const Largest<K> largest(corner + c, shape.width * channels, channels,
                                         load(signs + c), inside, count);
                store(y + c, largest.value, count);
                store_places(places + c, largest.place, count);
            };
            if (all_inside) choose([](int, int) { return true; });
            else choose(inside);
        }
    }
}

template <int K>
void max_pool(const Element *x, Shape shape, const float *scale, Geometry geometry, Element *y,
              uint8_t *places, int threads) {
    const int channels = shape.channels;
    Aligned<float> signs(round_up_to_lanes(channels), 1.0f);
    for (int c = 0; scale && c < channels; c++) signs[c] = float((scale[c] > 0) - (scale[c] < 0));
    for_each_band(threads, shape.images, geometry.height, [&](int, int image, int first, int last) {
        with_fit(channels, [&](auto fit) {
            for (int row = first; row < last; row++) {
                const size_t to = geometry.start(image, row) * channels;
                max_pool_row<K>(fit, x + image * shape.image_size(), shape, geometry, signs.data(),
                                row, y + to, places + to);
            }
        });
    });
}

// The first output row or column whose kernel reaches position `at`, counted from the padding on.
int first_reaching(int at, int kernel_size, int stride) {
    return at < kernel_size ? 0 : (at - kernel_size) / stride + 1;
}

// Writes row y of the gradient of x: the sum of the gradients of the outputs that chose a pixel.
// It gathers them per input pixel, so that each pixel is written once, by one thread.
template <int K, class Fit>
NOINLINE void max_pool_gradient_row(Fit fit, const Element *gradient, const uint8_t *places,
                                    Shape shape, Geometry geometry, int image, int y, Element *to) {
    const int channels = shape.channels;
    const int from_top = y + geometry.padding_top;
    const int top = first_reaching(from_top, K, geometry.stride_down);
    const int bottom = std::min(geometry.height - 1, from_top / geometry.stride_down);
    for (int x = 0; x < shape.width; x++, to += channels) {
        const int from_left = x + geometry.padding_left;
        const int left = first_reaching(from_left, K, geometry.stride_across);
        const int right = std::min(geometry.width - 1, from_left / geometry.stride_across);
        // The outputs that read this pixel, and its place under the kernel of each.
        const Element *gradients[K * K];
        const uint8_t *chosen[K * K];
        int own[K * K], outputs = 0;
        for (int row = top; row <= bottom; row++)
            for (int column = left; column <= right; column++, outputs++) {
                const size_t at = (geometry.start(image, row) + column) * channels;
                gradients[outputs] = gradient + at, chosen[outputs] = places + at;
                own[outputs] = (from_top - row * geometry.stride_down) * K + from_left -
                               column * geometry.stride_across;
            }
        for (int c = 0; c < channels; c += LANES) {
            const auto count = lane_count(fit, channels - c);
            Vector sum = ZERO;
            for (int i = 0; i < outputs; i++) {
                const Mask is_own = load_places(chosen[i] + c, count) == own[i];
                sum += is_own ? load(gradients[i] + c, count) : ZERO;
            }
            store(to + c, sum, count);
        }
    }
}

template <int K>
void max_pool_backward(const Element *gradient, const uint8_t *places, Shape shape,
                       Geometry geometry, Element *x_gradient, int threads) {
    for_each_band(threads, shape.images, shape.height, [&](int, int image, int first, int last) {
        with_fit(shape.channels, [&](auto fit) {
            for (int y = first; y < last; y++)
                max_pool_gradient_row<K>(
                    fit, gradient, places, shape, geometry, image, y,
                    x_gradient + image * shape.image_size() + y * shape.row_size());
        });
    });
}

}  // namespace
