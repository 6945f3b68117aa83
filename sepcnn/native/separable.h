// Separable convolution, stride 1: a window on each channel, then a product over the channels.

#pragma once

#include "multiply.h"
#include "sums.h"
#include "window.h"

namespace {

struct Separable {
    const float *depthwise;  // channels × size × size
    const float *pointwise;  // filters × channels
    int size, filters, top, left, height, width;  // margins and output
};

// Taps × lanes, of a kernel channels × taps.
template <int TAPS> struct Taps {
    Aligned<float> values;
    int stride;

    Taps(const float *kernel, int channels, int lanes, bool turned)
        : values(size_t(TAPS) * whole(lanes)), stride(whole(lanes)) {
        for (int tap = 0; tap < TAPS; tap++)
            for (int i = 0; i < lanes; i++)
                values[size_t(turned ? TAPS - 1 - tap : tap) * stride + i] =
                    kernel[i % channels * TAPS + tap];
    }
    Vector at(int tap, int lane) const { return load(&values[size_t(tap) * stride + lane]); }
};

// A row of pixels × channels as words, the inner dimension being the channels: as it is, but where
// an odd channel is left over.
template <class T> struct RowOfWords {
    int channels, stride;  // words a pixel
    Aligned<Element<T>> elements;

    RowOfWords(int width, int channels)
        : channels(channels), stride(words_of<T>(channels)),
          elements(size_t(width) * stride * Words<T>::DEPTH + LANES) {}

    int elements_a_pixel() const { return stride * Words<T>::DEPTH; }
    bool is_padded() const { return elements_a_pixel() != channels; }
    const Word<T> *words() const { return reinterpret_cast<const Word<T> *>(elements.data()); }
    // Moves pixels apart that were written one behind the other.
    void spread_out(int width) {
        if (!is_padded()) return;
        for (int p = width - 1; p >= 0; p--) {
            std::memmove(&elements[size_t(p) * elements_a_pixel()], &elements[size_t(p) * channels],
                         sizeof(elements[0]) * channels);
            elements[size_t(p) * elements_a_pixel() + channels] = 0;
        }
    }
};

// One row of a depthwise convolution, from the window's K rows that begin at `top`.
template <bool WHOLE, int K, class T, class To>
APART void convolve_row(Window<T> &window, int top, const Taps<K * K> &taps, Row cut, int channels, To *to) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = window.row(top + i);
    for (int c = 0; c < cut.lanes; c += LANES) {
        Vector tap[K][K];
        const float *from[K];
        UNROLLED
        for (int i = 0; i < K; i++) {
            from[i] = rows[i] + c;
            UNROLLED
            for (int j = 0; j < K; j++) tap[i][j] = taps.at(i * K + j, c);
        }
        const auto count = counted<WHOLE>(cut.lanes - c);
        To *at = to + c;
        for (int col = 0; col < cut.columns; col++, at += channels) {
            Vector sum = ZERO;
            UNROLLED
            for (int i = 0; i < K; i++) {
                UNROLLED
                for (int j = 0; j < K; j++) sum += load(from[i] + j * channels) * tap[i][j];
                from[i] += channels;
            }
            store(at, sum, count);
        }
    }
}

// Narrow images have several rows multiplied at once, since each product reads the whole pointwise
// kernel, or writes its gradient.
int rows_at_once(Separable op) { return std::max(1, 64 / op.width); }

// IN and OUT: the channels and the filters fill whole vectors.
// y, and Σy and Σy² of each filter unless `moments` is null.
template <class T, int K, bool IN, bool OUT>
void separable(const T *x, Shape in, View as_is, Separable op, T *y, float *moments, int threads) {
    const int channels = in.channels, filters = op.filters;
    const Row cut(op.width, channels);
    const Taps<K * K> taps(op.depthwise, channels, cut.lanes, false);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const auto pointwise = packed<T>(op.pointwise, channels, filters, 1, channels);
    const int depth = words_of<T>(channels);
    Sums sums(threads, 2, filters);
    over_bands(threads, in.images, op.height, [&](int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        const int right = op.width + K - 1 - op.left - in.width;
        Window<T> window(K, in.width, op.left, right, channels);
        RowOfWords<T> middle(rows_at_once(op) * op.width, channels);
        for (int i = 0; i < K - 1; i++) window.template read<IN>(image, in.height, first - op.top + i, view);
        for (int row = first; row < last;) {
            const int rows = std::min(rows_at_once(op), last - row), pixels = rows * op.width;
            for (int i = 0; i < rows; i++) {
                window.template read<IN>(image, in.height, row + i - op.top + K - 1, view);
                convolve_row<IN, K>(window, row + i - op.top, taps, cut, channels,
                                    &middle.elements[size_t(i) * op.width * channels]);
            }
            middle.spread_out(pixels);
            T *out = y + (size_t(n) * op.height + row) * op.width * filters;
            multiply<T>(middle.words(), depth, 1, pointwise.data(), depth, pixels, filters,
                        StoredWithMoments<T, OUT>{{out, filters}, sums.mine().of(0), sums.mine().of(1)});
            row += rows;
        }
        sums.settle();
    });
    if (!moments) return;
    sums.write(0, moments, filters);
    sums.write(1, moments + filters, filters);
}

struct SeparableGradients {
    void *x;  // null where nobody asks for it
    float *scale, *offset;  // the same
    float *depthwise, *pointwise;
};

// A row of the gradient of y, with that of its moments where y is not null.
template <bool WHOLE, class T, class To>
APART void add_moment_gradients(const T *gradient, const T *y, const float *once, const float *twice, int width,
                                int filters, To *to) {
    const Row cut(width, filters);
    for (int col = 0; col < cut.columns; col++)
        for (int f = 0; f < cut.lanes; f += LANES) {
            const int at = col * filters + f;
            const auto count = counted<WHOLE>(cut.lanes - f);
            fetch(gradient + at + width * filters);
            Vector g = load(gradient + at, count);
            if (y) {
                fetch(y + at + width * filters);
                g += load(once + f) + 2 * load(twice + f) * load(y + at, count);
            }
            store(to + at, g, count);
        }
}

// A row of the gradient of x, unless `to` is null, and what it adds to those of the taps, the scale
// and the offset. `back` are rows of the gradient of the depthwise result, with zeros around.
template <bool WHOLE, int K, class T>
APART void gradients_of_row(const float *const (&back)[K], const Taps<K * K> &turned, const float *seen_row,
                            const T *raw_row, const View &as_is, Row cut, int channels, Sums::Mine sums, T *to_row) {
    const View view = as_is;
    for (int i = 0; to_row && i < cut.lanes * cut.columns; i += LANES) fetch_to_write(to_row + i);
    for (int c = 0; c < cut.lanes; c += LANES) {
        const auto count = counted<WHOLE>(cut.lanes - c);
        Vector tap[K][K], tap_gradient[K][K];
        const float *from[K], *seen_at = seen_row + c;
        ViewGradient through(view, view.scales(c));
        UNROLLED
        for (int i = 0; i < K; i++) {
            from[i] = back[i] + c;
            UNROLLED
            for (int j = 0; j < K; j++) {
                tap[i][j] = turned.at(i * K + j, c);
                tap_gradient[i][j] = ZERO;
            }
        }
        const T *raw = raw_row + c;
        T *to = to_row ? to_row + c : nullptr;
        for (int col = 0; col < cut.columns; col++) {
            const Vector seen = load(seen_at);
            Vector sum = ZERO;
            UNROLLED
            for (int i = 0; i < K; i++) {
                UNROLLED
                for (int j = 0; j < K; j++) {
                    const Vector g = load(from[i] + j * channels);
                    sum += g * tap[i][j];
                    tap_gradient[i][j] += g * seen;
                }
                from[i] += channels;
            }
            if (!view.plain()) sum = through.of(sum, load(raw, count), seen);
            if (to) store(to, sum, count), to += channels;
            seen_at += channels, raw += channels;
        }
        for (int tap = 0; tap < K * K; tap++) sums.add(tap, c, tap_gradient[tap / K][tap % K]);
        sums.add(K * K, c, through.scale);
        sums.add(K * K + 1, c, through.offset);
    }
}

// From the gradient of y and, unless `moment_gradients` is null, of Σy and Σy².
template <class T, int K, bool IN, bool OUT>
void separable_backward(const T *gradient, const T *y, const float *moment_gradients, const T *x,
                        Shape in, View as_is, Separable op, SeparableGradients to, int threads) {
    const int channels = in.channels, filters = op.filters;
    const int before = K - 1 - op.left;
    const int depth = words_of<T>(filters), pairs = words_of<T>(op.width);
    const Row cut(in.width, channels), out_cut(op.width, channels), filter_cut(op.width, filters);
    const Taps<K * K> taps(op.depthwise, channels, out_cut.lanes, false);
    // The gradient of a convolution is one with the kernel turned around.
    const Taps<K * K> turned(op.depthwise, channels, cut.lanes, true);
    const SpreadView view(as_is, channels, cut.lanes);
    const auto pointwise = packed<T>(op.pointwise, filters, channels, channels, 1);
    const auto once = spread(moment_gradients, filters, filter_cut.lanes);
    const auto twice = spread(moment_gradients ? moment_gradients + filters : nullptr, filters, filter_cut.lanes);
    Sums sums(threads, K * K + 2, cut.lanes);
    std::vector<Aligned<float>> pointwise_sums(threads);
#pragma omp parallel num_threads(threads)
    {
        Aligned<float> &products = pointwise_sums[omp_get_thread_num()];
        const Sums::Mine mine = sums.mine();
        const int stride = whole(filters);
        products.resize(size_t(channels) * stride);
        Window<T> window(K, in.width, op.left, op.width + K - 1 - op.left - in.width, channels);
        Window<T> back(K, op.width, before, in.width + K - 1 - before - op.width, channels);
        Aligned<Element<T>> middle(op.width * channels + LANES);
        RowOfWords<T> y_gradient(op.width, filters);
        // Rows whose product is still to be added to the pointwise kernel's gradient.
        const int most = rows_at_once(op);
        int open = 0;
        Aligned<Word<T>> left(size_t(most) * pairs * whole(channels)), right(size_t(most) * pairs * stride);
        auto add_products = [&] {
            multiply<T>(left.data(), 1, whole(channels), right.data(), open * pairs, channels, filters,
                        Added{products.data(), stride});
            open = 0;
        };

        // The gradient of the depthwise result's row, and what it adds to the pointwise kernel's.
        auto make_row = [&](int n, int row) {
            float *into = back.row(row) + before * channels;
            if (row < 0 || row >= op.height) {
                std::fill(into, into + op.width * channels, 0.0f);
                return;
            }
            convolve_row<IN, K>(window, row - op.top, taps, out_cut, channels, middle.data());
            pack_pixels<T>(middle.data(), op.width, channels, &left[size_t(open) * pairs * whole(channels)]);
            const size_t start = (size_t(n) * op.height + row) * op.width * filters;
            add_moment_gradients<OUT>(gradient + start, moment_gradients ? y + start : nullptr, once.data(),
                                      twice.data(), op.width, filters, y_gradient.elements.data());
            pack_pixels<T>(y_gradient.elements.data(), op.width, filters, &right[size_t(open) * pairs * stride]);
            y_gradient.spread_out(op.width);
            multiply<T>(y_gradient.words(), depth, 1, pointwise.data(), depth, op.width, channels,
                        Stored<float, IN>{into, channels});
            if (++open == most) add_products();
        };

#pragma omp for schedule(static)
        for (int n = 0; n < in.images; n++) {
            const T *image = x + size_t(n) * in.height * in.width * channels;
            // Row r of the result needs the input's rows from r − top, and gives its gradient to them.
            for (int i = 0; i < K - 1; i++) window.template read<IN>(image, in.height, i - K + 1, view);
            for (int row = op.top - K + 1; row < in.height + op.top; row++) {
                window.template read<IN>(image, in.height, row - op.top + K - 1, view);
                make_row(n, row);
                const int done = row - op.top;
                if (done < 0) continue;
                const size_t start = (size_t(n) * in.height + done) * in.width * channels;
                T *to_row = to.x ? static_cast<T *>(to.x) + start : nullptr;
                const float *back_rows[K];
                for (int i = 0; i < K; i++) back_rows[i] = back.row(row - K + 1 + i);
                const float *seen = window.row(done) + op.left * channels;
                gradients_of_row<IN, K>(back_rows, turned, seen, x + start, view, cut, channels, mine, to_row);
            }
            sums.settle();
        }
        if (open) add_products();
    }
    for (int tap = 0; tap < K * K; tap++)
        sums.write(tap, to.depthwise + K * K - 1 - tap, channels, K * K);
    for (int c = 0; c < channels; c++)
        for (int f = 0; f < filters; f++) {
            double total = 0;
            for (const auto &products : pointwise_sums) total += products[size_t(c) * whole(filters) + f];
            to.pointwise[size_t(f) * channels + c] = float(total);
        }
    if (!to.scale) return;
    sums.write(K * K, to.scale, channels);
    sums.write(K * K + 1, to.offset, channels);
}

}  // namespace
