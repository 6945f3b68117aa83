// Vectors of float, loaded from and stored to float or bfloat16.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__AVX__)
#include <immintrin.h>
#endif

// Inner loops are functions of their own and copy what they read into local variables. Inlined into
// a caller, the compiler must assume that any store to an image changes the caller's variables, and
// reloads them in every iteration (3 of 94 ms in the log).
#define NOINLINE __attribute__((noinline))
// For loops over the registers of a block: with a constant index each register is a variable.
#define UNROLLED _Pragma("GCC unroll 32")

namespace {

// The widest vectors of the processor, and the number of its vector registers.
#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint16_t bfloat16;

// The type of an image's values in memory: one for each compiled library.
#if defined(FLOAT32)
typedef float Element;
#elif defined(BFLOAT16)
typedef bfloat16 Element;
#else
#error "compile with -DFLOAT32 or -DBFLOAT16"
#endif

constexpr Vector ZERO = {};
constexpr int CACHE_LINE = 64;  // bytes

int round_up_to_lanes(int channels) { return (channels + LANES - 1) / LANES * LANES; }

Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }
void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

#if defined(BFLOAT16)
Vector load(const bfloat16 *from) {
#if defined(__AVX512F__)
    __m512i wide =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
    return (Vector)_mm512_slli_epi32(wide, 16);
#elif defined(__AVX2__)
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
    return (Vector)_mm256_slli_epi32(wide, 16);
#else
    Bits bits = __builtin_convertvector(*reinterpret_cast<const Halves *>(from), Bits) << 16;
    return reinterpret_cast<Vector>(bits);
#endif
}

// Rounds to the nearest bfloat16, ties to even.
void store(bfloat16 *to, Vector value) {
#if defined(__AVX512BF16__)
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)value);
    std::memcpy(to, &rounded, sizeof rounded);
#else
    Bits bits = reinterpret_cast<Bits>(value);
    Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    Bits quiet_nan = (bits >> 16) | 0x40;
    rounded = (value == value) ? rounded : quiet_nan;
#if defined(__AVX2__) && !defined(__AVX512F__)
    __m256i wide = (__m256i)rounded;
    __m128i halves =
        _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), halves);
#else
    *reinterpret_cast<Halves *>(to) = __builtin_convertvector(rounded, Halves);
#endif
#endif
}
#endif

// Memory has a long latency: the kernels ask for what the next row or chunk needs while they
// compute this one. That saved 14 of 94 ms in the log. Locality 2 puts it into the second cache and
// leaves the first to the current row. Stores go through the caches: past them they were a quarter
// slower.
void prefetch(const void *from) { __builtin_prefetch(from, 0, 2); }
void prefetch_to_write(const void *to) { __builtin_prefetch(to, 1, 2); }

// Load or store the first `count` lanes; the last channels may be fewer than a vector.
template <class T> Vector load(const T *from, int count) {
    if (count >= LANES) return load(from);
    T some[LANES] = {};
    for (int i = 0; i < count; i++) some[i] = from[i];
    return load(some);
}

template <class T> void store(T *to, Vector value, int count) {
    if (count >= LANES) return store(to, value);
    T some[LANES];
    store(some, value);
    for (int i = 0; i < count; i++) to[i] = some[i];
}

// The second argument if one of them is NaN. `clamp` passes its value second, so that NaN stays.
#if defined(__AVX512F__)
Vector larger(Vector a, Vector b) { return (Vector)_mm512_max_ps((__m512)a, (__m512)b); }
Vector smaller(Vector a, Vector b) { return (Vector)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX__)
Vector larger(Vector a, Vector b) { return (Vector)_mm256_max_ps((__m256)a, (__m256)b); }
Vector smaller(Vector a, Vector b) { return (Vector)_mm256_min_ps((__m256)a, (__m256)b); }
#else
Vector larger(Vector a, Vector b) { return a > b ? a : b; }
Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
#endif

Vector clamp(Vector value, float low, float high) {
    return smaller(ZERO + high, larger(ZERO + low, value));
}

// Calls work(fit), where fit is std::true_type if the lanes fill whole vectors. The loops are
// compiled twice: without a remainder they need no test for each vector.
template <class Work> void with_fit(int lanes, Work work) {
    if (lanes % LANES) work(std::false_type());
    else work(std::true_type());
}

// The lanes to load or store of the next vector: a constant if all vectors are whole.
template <class Fit> auto lane_count(Fit, int left) {
    if constexpr (Fit::value) return std::integral_constant<int, LANES>();
    else return left;
}

// Memory that begins on a cache line, so that aligned vectors do not straddle two lines.
template <class Value> struct Allocator {
    typedef Value value_type;
    Allocator() = default;
    template <class Other> Allocator(const Allocator<Other> &) {}
    Value *allocate(size_t count) {
        return static_cast<Value *>(
            ::operator new(count * sizeof(Value), std::align_val_t(CACHE_LINE)));
    }
    void deallocate(Value *at, size_t) { ::operator delete(at, std::align_val_t(CACHE_LINE)); }
    template <class Other> bool operator==(const Allocator<Other> &) const { return true; }
    template <class Other> bool operator!=(const Allocator<Other> &) const { return false; }
};

template <class Value> using Aligned = std::vector<Value, Allocator<Value>>;

}  // namespace
