// Products of small matrices from registers, float sums: A·B, where A is rows × words and B words ×
// columns.
//
// The inner dimension is counted in words: one float, or two bfloat16 where the processor
// multiplies those in pairs. Columns are a whole number of vectors.

#pragma once

#include "vectors.h"

namespace {

// Where bfloat16 has no instruction of its own it is multiplied as float.
template <class T> struct Words {
    typedef float Word;
    typedef float Element;
    typedef Vector WordVector;
    static constexpr int DEPTH = 1;

    static WordVector load(const Word *from) { return ::load(from); }
    static Vector step(Vector sum, Word a, WordVector b) { return sum + a * b; }
    static Word word(float value, float) { return value; }
};

#if defined(__AVX512BF16__)
template <> struct Words<bfloat16> {
    typedef uint32_t Word;
    typedef bfloat16 Element;
    typedef Bits WordVector;
    static constexpr int DEPTH = 2;

    static WordVector load(const Word *from) { return (Bits)_mm512_loadu_si512(from); }
    static Vector step(Vector sum, Word a, WordVector b) {
        return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)b);
    }
    static Word word(float first, float second) {
        bfloat16 both[2];
        store(both, ZERO + first, 1);
        store(both + 1, ZERO + second, 1);
        Word result;
        std::memcpy(&result, both, sizeof result);
        return result;
    }
};
#endif

template <class T> using Word = typename Words<T>::Word;
template <class T> using Element = typename Words<T>::Element;  // of which words are made

template <class T> int words_of(int count) { return (count + Words<T>::DEPTH - 1) / Words<T>::DEPTH; }

// A matrix of inner × outer, given by its strides, packed as words × whole vectors of outer.
template <class T>
Aligned<Word<T>> packed(const float *matrix, int inner, int outer, int inner_stride, int outer_stride) {
    constexpr int DEPTH = Words<T>::DEPTH;
    const int stride = whole(outer);
    Aligned<Word<T>> result(size_t(words_of<T>(inner)) * stride);
    for (int i = 0; i < inner; i += DEPTH)
        for (int o = 0; o < outer; o++) {
            const float *at = matrix + size_t(i) * inner_stride + size_t(o) * outer_stride;
            result[size_t(i / DEPTH) * stride + o] =
                Words<T>::word(at[0], i + 1 < inner ? at[inner_stride] : 0);
        }
    return result;
}

// pixels × channels as words of pixels × whole vectors of channels; beyond the channels anything.
template <class T>
void pack_pixels(const float *from, int pixels, int channels, float *to) {
    const int columns = whole(channels);
    for (int p = 0; p < pixels; p++)
        for (int c = 0; c < channels; c += LANES)
            store(to + p * columns + c, load(from + p * channels + c));
}

#if defined(__AVX512BF16__)
template <class T>
void pack_pixels(const bfloat16 *from, int pixels, int channels, uint32_t *to) {
    const int columns = whole(channels);
    for (int p = 0; p < pixels; p += 2)
        for (int c = 0; c < channels; c += LANES) {
            // The bits of a bfloat16 as a float are its own with 16 zeros behind.
            const bfloat16 *at = from + p * channels + c;
            const Bits first = (Bits)load(at);
            const Bits second = p + 1 < pixels ? (Bits)load(at + channels) : Bits{};
            const Bits both = (first >> 16) | second;
            std::memcpy(to + p / 2 * columns + c, &both, sizeof both);
        }
}
#endif

// A block's sums take three quarters of the registers: 6 × 4 or 12 × 2 of 32, 6 × 2 or 12 × 1 of 16.
constexpr int MOST_COLUMNS = REGISTERS / 8, MOST_ROWS = 12;

// ROWS × COLUMNS vectors of A·B, which stay in registers; `to` gets them column by column.
template <class T, int ROWS, int COLUMNS, class To>
APART void block(const Word<T> *a, size_t row_stride, size_t word_stride, const Word<T> *b, size_t b_stride,
           int words, int row, int column, To &to) {
    Vector sums[COLUMNS][ROWS];
    UNROLLED
    for (int j = 0; j < COLUMNS; j++)
        UNROLLED
        for (int i = 0; i < ROWS; i++) sums[j][i] = ZERO;
    for (int w = 0; w < words; w++, a += word_stride, b += b_stride) {
        typename Words<T>::WordVector values[COLUMNS];
        UNROLLED
        for (int j = 0; j < COLUMNS; j++) values[j] = Words<T>::load(b + j * LANES);
        UNROLLED
        for (int i = 0; i < ROWS; i++)
            UNROLLED
            for (int j = 0; j < COLUMNS; j++)
                sums[j][i] = Words<T>::step(sums[j][i], a[i * row_stride], values[j]);
    }
    UNROLLED
    for (int j = 0; j < COLUMNS; j++) to.template take<ROWS>(row, column + j * LANES, sums[j]);
}

template <class T, int COLUMNS, class To>
void panel(const Word<T> *a, size_t row_stride, size_t word_stride, const Word<T> *b, size_t b_stride,
           int words, int rows, int column, To &to) {
    int row = 0;
    auto blocks = [&](auto high) {
        constexpr int ROWS = decltype(high)::value;
        for (; row + ROWS <= rows; row += ROWS)
            block<T, ROWS, COLUMNS>(a + row * row_stride, row_stride, word_stride, b, b_stride, words, row, column, to);
    };
    if constexpr (COLUMNS <= MOST_COLUMNS / 2) blocks(std::integral_constant<int, MOST_ROWS>());
    blocks(std::integral_constant<int, MOST_ROWS / 2>());
    blocks(std::integral_constant<int, 2>());
    blocks(std::integral_constant<int, 1>());
}

// A·B, given to `to.take<ROWS>(row, column, vectors)`: vectors of one column and of ROWS rows.
template <class T, class To>
void multiply(const Word<T> *a, size_t row_stride, size_t word_stride, const Word<T> *b, int words,
              int rows, int columns, To to) {
    const int stride = whole(columns);
    int column = 0;
    auto panels = [&](auto wide) {
        constexpr int COLUMNS = decltype(wide)::value;
        for (; column + COLUMNS * LANES <= stride; column += COLUMNS * LANES)
            panel<T, COLUMNS>(a, row_stride, word_stride, b + column, stride, words, rows, column, to);
    };
    panels(std::integral_constant<int, MOST_COLUMNS>());
    if constexpr (MOST_COLUMNS > 3) panels(std::integral_constant<int, 3>());
    if constexpr (MOST_COLUMNS > 2) panels(std::integral_constant<int, 2>());
    panels(std::integral_constant<int, 1>());
}

// Where products go: rows of T or float, of so many columns, `stride` apart.
template <class T> struct Stored {
    T *to;
    int columns, stride;

    APART void store_part(T *at, const Vector *values, int rows, int count) const {
        for (int i = 0; i < rows; i++) store(at + size_t(i) * stride, values[i], count);
    }
    template <int ROWS> void take(int row, int column, const Vector (&values)[ROWS]) const {
        T *at = to + size_t(row) * stride + column;
        if (column + LANES > columns) {
            Vector last[ROWS];  // a copy in memory, so that the values themselves stay in registers
            UNROLLED
            for (int i = 0; i < ROWS; i++) last[i] = values[i];
            return store_part(at, last, ROWS, columns - column);
        }
        UNROLLED
        for (int i = 0; i < ROWS; i++) store(at + size_t(i) * stride, values[i]);
    }
};

// The same, and the values of each column and their squares are added to sums.
template <class T> struct StoredWithMoments : Stored<T> {
    float *sums, *square_sums;

    template <int ROWS> void take(int row, int column, const Vector (&values)[ROWS]) const {
        Stored<T>::template take<ROWS>(row, column, values);
        Vector sum = load(sums + column), squares = load(square_sums + column);
        UNROLLED
        for (int i = 0; i < ROWS; i++) {
            sum += values[i];
            squares += values[i] * values[i];
        }
        store(sums + column, sum);
        store(square_sums + column, squares);
    }
};

// Added to rows of whole vectors.
struct Added {
    float *to;
    int stride;

    template <int ROWS> void take(int row, int column, const Vector (&values)[ROWS]) const {
        UNROLLED
        for (int i = 0; i < ROWS; i++) {
            float *at = to + size_t(row + i) * stride + column;
            store(at, load(at) + values[i]);
        }
    }
};

}  // namespace
