// Products of small matrices: A·B, where A is rows × words and B words × columns, summed in float.
//
// The inner dimension is counted in words of 32 bits: one float or, if the processor multiplies
// them in pairs (vdpbf16ps), two bfloat16. The values of a word are its operands.

#pragma once

#include "vectors.h"

namespace {

#if defined(BFLOAT16) && defined(__AVX512BF16__)
typedef bfloat16 Operand;
typedef uint32_t Word;
typedef Bits WordVector;
constexpr int DEPTH = 2;  // operands per word

inline WordVector load_words(const Word *from) { return (Bits)_mm512_loadu_si512(from); }
inline void store_words(Word *to, WordVector words) { _mm512_storeu_si512(to, (__m512i)words); }
inline Vector multiply_add(Vector sum, Word a, WordVector b) {
    return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(int(a)), (__m512bh)b);
}
inline Word make_word(float first, float second) {
    bfloat16 both[2];
    store(both, ZERO + first, 1);
    store(both + 1, ZERO + second, 1);
    Word result;
    std::memcpy(&result, both, sizeof result);
    return result;
}
// Words of the operands of two rows; the second row may be missing.
inline WordVector make_words(const Operand *first, const Operand *second) {
    // `load` puts the bits of a bfloat16 into the upper half of a float.
    return (Bits)load(first) >> 16 | (second ? (Bits)load(second) : Bits{});
}
#else
// Without that instruction bfloat16 is multiplied as float.
typedef float Operand;
typedef float Word;
typedef Vector WordVector;
constexpr int DEPTH = 1;

inline WordVector load_words(const Word *from) { return load(from); }
inline void store_words(Word *to, WordVector words) { store(to, words); }
inline Vector multiply_add(Vector sum, Word a, WordVector b) { return sum + a * b; }
inline Word make_word(float value, float) { return value; }
inline WordVector make_words(const Operand *first, const Operand *) { return load(first); }
#endif

int words_of(int count) { return (count + DEPTH - 1) / DEPTH; }

// A block is a part of the product whose sums stay in registers: 6 × 4 or 12 × 2 vectors with 32
// registers, 6 × 2 or 12 × 1 with 16. The sums take three quarters of the registers; the vectors of
// a row of B (4, 2 or 1) and a value of A, broadcast, need the others. In a block of 6 × 4, ten
// loads feed 24 multiplications. Two multipliers with a latency of 4 cycles need 8 independent sums
// at least to be busy; a block has 12 or 24. Blocks made for 16 registers, and loads
// that avoid the stack, more than halved the time of all kernels with AVX2 (the log).
constexpr int MOST_COLUMNS = REGISTERS / 8, MOST_ROWS = 12;

// A matrix of words × columns, stored as panels of WIDTH columns one after the other.
//
// In a plain matrix the rows of many channels would be 512 bytes and more apart. A first cache of
// 32 KB and 8 ways has 64 sets of lines. Such rows use at most 8 of the sets and evict each other.
// Panels, and several rows of narrow images per product, made a layer of 256 channels 1.18 times as
// fast backwards (the log). Columns beyond `channels` are padding and may hold anything.
template <int WIDTH> struct Panels {
    static_assert(WIDTH % LANES == 0);
    int depth, channels, columns;
    Aligned<Word> values;

    Panels(int depth, int channels)
        : depth(depth), channels(channels), columns(round_up_to_lanes(channels)),
          values(size_t(depth) * columns) {}

    // Words from one row to the next in the panel of a column; the last panel may be narrower.
    int stride(int column) const { return std::min(WIDTH, columns - column / WIDTH * WIDTH); }
    const Word *at(int word, int column) const {
        const int start = column / WIDTH * WIDTH;
        return &values[size_t(start) * depth + size_t(word) * stride(column) + column - start];
    }
    Word *at(int word, int column) {
        return const_cast<Word *>(std::as_const(*this).at(word, column));
    }

    // Copies pixels × channels, as words from the given one on; pixels are the inner dimension.
    void put(int word, const Operand *from, int pixels) {
        for (int start = 0; start < columns; start += WIDTH)
            put_panel(from + start, pixels, channels, stride(start), at(word, start));
    }
    NOINLINE static void put_panel(const Operand *from, int pixels, int channels, int width,
                                   Word *to) {
        for (int p = 0; p < pixels; p += DEPTH, from += DEPTH * channels, to += width)
            for (int c = 0; c < width; c += LANES) {
                const Operand *second = p + DEPTH > pixels ? nullptr : from + channels + c;
                store_words(to + c, make_words(from + c, second));
            }
    }
};

// The two sides of a product. A panel of B is as wide as a block. A panel of A is a whole number of
// blocks of 12 or 6 rows and of vectors of 16, 8 or 4 lanes; 48 is the smallest such width.
constexpr int TALL = 4 * MOST_ROWS;
using Left = Panels<TALL>;  // Aᵀ
using Right = Panels<MOST_COLUMNS * LANES>;

// B from a matrix of inner × outer, given by its strides.
Right packed(const float *matrix, int inner, int outer, int inner_stride, int outer_stride) {
    Right result(words_of(inner), outer);
    for (int i = 0; i < inner; i += DEPTH)
        for (int o = 0; o < outer; o++) {
            const float *at = matrix + size_t(i) * inner_stride + size_t(o) * outer_stride;
            *result.at(i / DEPTH, o) = make_word(at[0], i + 1 < inner ? at[inner_stride] : 0);
        }
    return result;
}

// Computes ROWS × COLUMNS vectors of A·B, and gives them to `to` column by column.
template <int ROWS, int COLUMNS, class To>
NOINLINE void multiply_block(const Word *a, size_t row_stride, size_t word_stride, const Word *b,
                             size_t b_stride, int words, int row, int column, To &to) {
    Vector sums[COLUMNS][ROWS];
    UNROLLED
    for (int j = 0; j < COLUMNS; j++) {
        UNROLLED
        for (int i = 0; i < ROWS; i++) sums[j][i] = ZERO;
    }
    for (int w = 0; w < words; w++, a += word_stride, b += b_stride) {
        WordVector values[COLUMNS];
        UNROLLED
        for (int j = 0; j < COLUMNS; j++) values[j] = load_words(b + j * LANES);
        UNROLLED
        for (int i = 0; i < ROWS; i++) {
            UNROLLED
            for (int j = 0; j < COLUMNS; j++)
                sums[j][i] = multiply_add(sums[j][i], a[i * row_stride], values[j]);
        }
    }
    UNROLLED
    for (int j = 0; j < COLUMNS; j++) to.template take<ROWS>(row, column + j * LANES, sums[j]);
}

// A strip of COLUMNS vectors of A·B, from the highest blocks to the lowest. Blocks of 4, for the
// rows that blocks of 6 leave over, did not help (the log). `a` is row `first` of A.
// `to.take<ROWS>(row, column, vectors)` gets vectors of one column and of ROWS rows.
template <int COLUMNS, class To>
void multiply_strip(const Word *a, size_t row_stride, size_t word_stride, const Right &b, int words,
                    int first, int rows, int column, To &to) {
    int row = 0;
    auto blocks = [&](auto high) {
        constexpr int ROWS = decltype(high)::value;
        for (; row + ROWS <= rows; row += ROWS)
            multiply_block<ROWS, COLUMNS>(a + row * row_stride, row_stride, word_stride,
                                          b.at(0, column), b.stride(column), words, first + row,
                                          column, to);
    };
    if constexpr (COLUMNS <= MOST_COLUMNS / 2) blocks(std::integral_constant<int, MOST_ROWS>());
    blocks(std::integral_constant<int, MOST_ROWS / 2>());
    blocks(std::integral_constant<int, 2>());
    blocks(std::integral_constant<int, 1>());
}

template <class To>
void multiply_rows(const Word *a, size_t row_stride, size_t word_stride, const Right &b, int words,
                   int first, int rows, To &to) {
    int column = 0;
    auto strips = [&](auto wide) {
        constexpr int COLUMNS = decltype(wide)::value;
        for (; column + COLUMNS * LANES <= b.columns; column += COLUMNS * LANES)
            multiply_strip<COLUMNS>(a, row_stride, word_stride, b, words, first, rows, column, to);
    };
    strips(std::integral_constant<int, MOST_COLUMNS>());
    if constexpr (MOST_COLUMNS > 3) strips(std::integral_constant<int, 3>());
    if constexpr (MOST_COLUMNS > 2) strips(std::integral_constant<int, 2>());
    strips(std::integral_constant<int, 1>());
}

// A·B, where A is `count` contiguous rows of words.
template <class To> void multiply(const Word *rows, int count, const Right &b, To to) {
    multiply_rows(rows, b.depth, 1, b, b.depth, 0, count, to);
}

// Aᵀ·B over the first words of both.
template <class To> void multiply(const Left &a, const Right &b, int words, To to) {
    for (int first = 0; first < a.channels; first += TALL)
        multiply_rows(a.at(0, first), 1, a.stride(first), b, words, first,
                      std::min(TALL, a.channels - first), to);
}

// Stores a product in rows of `columns` values of type T, `stride` apart.
template <class T> struct Stored {
    T *to;
    int columns, stride;

    NOINLINE void store_part(T *at, const Vector *values, int rows, int count) const {
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

// Stores a product, and adds the values of each column, and their squares, to sums.
struct StoredWithMoments : Stored<Element> {
    float *sums, *square_sums;

    template <int ROWS> void take(int row, int column, const Vector (&values)[ROWS]) const {
        Stored<Element>::template take<ROWS>(row, column, values);
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

// Adds a product to rows of whole vectors.
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
