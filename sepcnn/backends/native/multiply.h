// Products of small matrices from registers, float sums: A·B, where A is rows × words and B words ×
// columns.
//
// The inner dimension is counted in words: one float, or two bfloat16 where the processor
// multiplies those in pairs.

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
    static void store(Word *to, WordVector words) { ::store(to, words); }
    static Vector step(Vector sum, Word a, WordVector b) { return sum + a * b; }
    static Word word(float value, float) { return value; }
    static WordVector words(const Element *first, const Element *) { return ::load(first); }
};

#if defined(__AVX512BF16__)
template <> struct Words<bfloat16> {
    typedef uint32_t Word;
    typedef bfloat16 Element;
    typedef Bits WordVector;
    static constexpr int DEPTH = 2;

    static WordVector load(const Word *from) { return (Bits)_mm512_loadu_si512(from); }
    static void store(Word *to, WordVector words) { _mm512_storeu_si512(to, (__m512i)words); }
    static Vector step(Vector sum, Word a, WordVector b) {
        return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)b);
    }
    static Word word(float first, float second) {
        bfloat16 both[2];
        ::store(both, ZERO + first, 1);
        ::store(both + 1, ZERO + second, 1);
        Word result;
        std::memcpy(&result, both, sizeof result);
        return result;
    }
    // Of values side by side; there may be no second.
    static WordVector words(const Element *first, const Element *second) {
        // The bits of a bfloat16 as a float are its own with 16 zeros behind.
        return (Bits)::load(first) >> 16 | (second ? (Bits)::load(second) : Bits{});
    }
};
#endif

template <class T> using Word = typename Words<T>::Word;
template <class T> using Element = typename Words<T>::Element;  // of which words are made

template <class T> int words_of(int count) { return (count + Words<T>::DEPTH - 1) / Words<T>::DEPTH; }

// A block's sums take three quarters of the registers: 6 × 4 or 12 × 2 of 32, 6 × 2 or 12 × 1 of 16.
constexpr int MOST_COLUMNS = REGISTERS / 8, MOST_ROWS = 12;

// A matrix of words × columns in panels of columns, one behind the other: the rows of a wide matrix would be so
// far apart that they push each other out of the first cache. Beyond the channels columns hold anything.
template <class T, int WIDTH> struct Panels {
    static_assert(WIDTH % LANES == 0);
    int depth, channels, columns;
    Aligned<Word<T>> values;

    Panels(int depth, int channels)
        : depth(depth), channels(channels), columns(whole(channels)), values(size_t(depth) * columns) {}

    // Words from one row to the next of the panel that a column is in.
    int stride(int column) const { return std::min(WIDTH, columns - column / WIDTH * WIDTH); }
    const Word<T> *at(int word, int column) const {
        const int start = column / WIDTH * WIDTH;
        return &values[size_t(start) * depth + size_t(word) * stride(column) + column - start];
    }
    Word<T> *at(int word, int column) { return const_cast<Word<T> *>(std::as_const(*this).at(word, column)); }

    // Pixels × channels, as words from the given one on; pixels are the inner dimension.
    void put(int word, const Element<T> *from, int pixels) {
        for (int start = 0; start < columns; start += WIDTH)
            put_panel(from + start, pixels, channels, stride(start), at(word, start));
    }
    APART static void put_panel(const Element<T> *from, int pixels, int channels, int width, Word<T> *to) {
        constexpr int DEPTH = Words<T>::DEPTH;
        for (int p = 0; p < pixels; p += DEPTH, from += DEPTH * channels, to += width)
            for (int c = 0; c < width; c += LANES)
                Words<T>::store(to + c, Words<T>::words(from + c, p + DEPTH > pixels ? nullptr : from + channels + c));
    }
};

// The two sides of a product: their panels are whole blocks.
constexpr int TALL = 4 * MOST_ROWS;
template <class T> using Left = Panels<T, TALL>;  // transposed
template <class T> using Right = Panels<T, MOST_COLUMNS * LANES>;

// A matrix of inner × outer, given by its strides.
template <class T>
Right<T> packed(const float *matrix, int inner, int outer, int inner_stride, int outer_stride) {
    constexpr int DEPTH = Words<T>::DEPTH;
    Right<T> result(words_of<T>(inner), outer);
    for (int i = 0; i < inner; i += DEPTH)
        for (int o = 0; o < outer; o++) {
            const float *at = matrix + size_t(i) * inner_stride + size_t(o) * outer_stride;
            *result.at(i / DEPTH, o) = Words<T>::word(at[0], i + 1 < inner ? at[inner_stride] : 0);
        }
    return result;
}

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

// Some rows of A·B, of which `a` is the first, given to `to.take<ROWS>(row, column, vectors)`: vectors of one column
// and of ROWS rows.
template <class T, int COLUMNS, class To>
void strip(const Word<T> *a, size_t row_stride, size_t word_stride, const Right<T> &b, int words, int first, int rows,
           int column, To &to) {
    int row = 0;
    auto blocks = [&](auto high) {
        constexpr int ROWS = decltype(high)::value;
        for (; row + ROWS <= rows; row += ROWS)
            block<T, ROWS, COLUMNS>(a + row * row_stride, row_stride, word_stride, b.at(0, column), b.stride(column),
                                    words, first + row, column, to);
    };
    if constexpr (COLUMNS <= MOST_COLUMNS / 2) blocks(std::integral_constant<int, MOST_ROWS>());
    blocks(std::integral_constant<int, MOST_ROWS / 2>());
    blocks(std::integral_constant<int, 2>());
    blocks(std::integral_constant<int, 1>());
}

template <class T, class To>
void multiply_rows(const Word<T> *a, size_t row_stride, size_t word_stride, const Right<T> &b, int words, int first,
                   int rows, To &to) {
    int column = 0;
    auto strips = [&](auto wide) {
        constexpr int COLUMNS = decltype(wide)::value;
        for (; column + COLUMNS * LANES <= b.columns; column += COLUMNS * LANES)
            strip<T, COLUMNS>(a, row_stride, word_stride, b, words, first, rows, column, to);
    };
    strips(std::integral_constant<int, MOST_COLUMNS>());
    if constexpr (MOST_COLUMNS > 3) strips(std::integral_constant<int, 3>());
    if constexpr (MOST_COLUMNS > 2) strips(std::integral_constant<int, 2>());
    strips(std::integral_constant<int, 1>());
}

// A·B of rows of words, one behind the other.
template <class T, class To> void multiply(const Word<T> *rows, int count, const Right<T> &b, To to) {
    multiply_rows(rows, b.depth, 1, b, b.depth, 0, count, to);
}

// Aᵀ·B of the first words of both.
template <class T, class To> void multiply(const Left<T> &a, const Right<T> &b, int words, To to) {
    for (int first = 0; first < a.channels; first += TALL)
        multiply_rows(a.at(0, first), 1, a.stride(first), b, words, first, std::min(TALL, a.channels - first), to);
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
