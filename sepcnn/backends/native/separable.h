// Separable convolution: a window on each channel, then a product over the channels. With a window of
// one pixel and no depthwise kernel it is a 1×1 convolution.

#pragma once

#include "depthwise.h"
#include "multiply.h"

namespace {

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

constexpr size_t MOST_SUMS = 1 << 19;  // values of all tasks' gradients of a kernel: they stay in a cache

constexpr int WIDE = 32;  // pixels of a row that is multiplied alone on the way back

// Narrow images have several rows multiplied at once, since each product reads the whole pointwise
// kernel, or writes its gradient.
int rows_at_once(Grid grid) {
    const int most = std::max(1, 64 / grid.width), groups = (grid.height + most - 1) / most;
    return (grid.height + groups - 1) / groups;
}

// y, and mean and variance of each of its channels.
template <class T, int K>
void separable(const T *x, Shape in, View as_is, Grid grid, Kernels kernels, T *y, Moments moments,
               int threads) {
    const int channels = in.channels, filters = kernels.filters, step = grid.across * channels;
    const Row cut(grid.width, channels, grid.across == 1);
    const Taps<K * K> taps(kernels.depthwise, channels, cut.lanes, false);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const auto pointwise = packed<T>(kernels.pointwise, channels, filters, 1, channels);
    const int at_once = rows_at_once(grid);
    Sums sums(threads, 2, filters);
    over_bands(threads, in.images, grid.height, [&](int task, int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        Window<T> window(K, in.width, grid.left, grid.right(K, in.width), channels);
        window.next = first * grid.down - grid.top;
        RowOfWords<T> middle(at_once * grid.width, channels);
        for (int row = first; row < last;) {
            const int rows = std::min(at_once, last - row), pixels = rows * grid.width;
            for (int i = 0; i < rows; i++) {
                const int top = (row + i) * grid.down - grid.top;
                window.reach(image, in.height, top, view);
                with_fit(cut.lanes, [&](auto fit) {
                    convolve_row<false, K>(fit, window, top, taps, cut, channels, step,
                                           &middle.elements[size_t(i) * grid.width * channels], sums.mine());
                });
            }
            middle.spread_out(pixels);
            T *out = y + (size_t(n) * grid.height + row) * grid.width * filters;
            multiply<T>(middle.words(), pixels, pointwise,
                        StoredWithMoments<T>{{out, filters, filters}, sums.mine().of(0), sums.mine().of(1)});
            row += rows;
        }
        sums.settle(task);
    });
    sums.write_moments(moments, filters, in.images * grid.pixels());
}

// What a thread holds on the way back through the pointwise step, of rows that are multiplied at once.
template <class T> struct PointwiseBack {
    const int width, channels, filters, at_once, pairs;
    RowOfWords<T> y_gradient;
    Aligned<float> middle_gradient;
    Left<T> middles;  // of which, as of the next, pixels are the inner dimension
    Right<T> y_gradients;

    PointwiseBack(Grid grid, int channels, int filters)
        : width(grid.width), channels(channels), filters(filters), at_once(rows_at_once(grid)),
          pairs(words_of<T>(width)), y_gradient(at_once * width, filters),
          middle_gradient(size_t(at_once) * width * channels), middles(at_once * pairs, channels),
          y_gradients(at_once * pairs, filters) {}

    // The gradient of the depthwise result in rows of y that follow each other, of which `place` is the first of
    // those here. Pixels are `step` values apart.
    void multiply_back(const ResultGradient<T> &gradient, size_t row, int place, int rows, const Right<T> &pointwise,
                       float *to, int step) {
        for (int i = 0; i < rows; i++) {
            Element<T> *at = &y_gradient.elements[size_t(i) * width * filters];
            gradient.read(row + i, at);
            y_gradients.put((place + i) * pairs, at, width);
        }
        y_gradient.spread_out(rows * width);
        multiply<T>(y_gradient.words(), rows * width, pointwise, Stored<float>{to, channels, step});
    }
    // The same of one row, made with those that follow where rows are narrow.
    void row_back(const ResultGradient<T> &gradient, size_t row, int place, int rows, const Right<T> &pointwise,
                  float *to, int step) {
        if (width >= WIDE) return multiply_back(gradient, row, place, 1, pointwise, to, step);
        if (place == 0) multiply_back(gradient, row, 0, rows, pointwise, middle_gradient.data(), channels);
        const float *from = &middle_gradient[size_t(place) * width * channels];
        for (int p = 0; p < width; p++, from += channels, to += step) std::copy(from, from + channels, to);
    }
    // Adds what the rows give to the gradient of the pointwise kernel.
    void add_product(int rows, float *to) {
        multiply(middles, y_gradients, rows * pairs, Added{to, y_gradients.columns});
    }
};

template <class T, int K>
void separable_backward(Result<T> result, const T *x, Shape in, View view,
                        Grid grid, Kernels kernels, Gradients to, int threads) {
    const int channels = in.channels, filters = kernels.filters, step = grid.across * channels;
    const Row cut(grid.width, channels, grid.across == 1);
    const Taps<K * K> taps(kernels.depthwise, channels, cut.lanes, false);
    const auto pointwise = packed<T>(kernels.pointwise, filters, channels, channels, 1);
    const ResultGradient<T> gradient(result, in.images, grid, filters, filters);
    WayBack<T, K> way(x, in, view, grid, kernels.depthwise, threads);
    // The pointwise kernel's gradient in each task: few where it is large.
    const int stride = whole(filters);
    const size_t size = size_t(channels) * stride;
    const Tasks tasks(threads, in.images, MOST_SUMS / size);
    std::vector<Aligned<float>> products(tasks.count);
#pragma omp parallel num_threads(threads)
    {
        auto rows = way.rows();
        PointwiseBack<T> last(grid, channels, filters);
        Aligned<Element<T>> middle(grid.width * channels + LANES);
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++) {
            products[task].resize(size);
            for (int n = tasks.begin(task); n < tasks.end(task); n++)
                way.image(task, n, rows, static_cast<T *>(to.x), [&](int row, int top, float *into) {
                    const int place = row % last.at_once, together = std::min(last.at_once, grid.height - row + place);
                    last.row_back(gradient, size_t(n) * grid.height + row, place, together, pointwise, into, step);
                    with_fit(cut.lanes, [&](auto fit) {
                        convolve_row<false, K>(fit, rows.window, top, taps, cut, channels, step, middle.data(), {});
                    });
                    last.middles.put(place * last.pairs, middle.data(), grid.width);
                    if (place == together - 1) last.add_product(together, products[task].data());
                });
        }
#pragma omp for schedule(static)
        for (int c = 0; c < channels; c++)
            for (int f = 0; f < filters; f++) {
                double total = 0;
                for (const auto &each : products) total += each[size_t(c) * stride + f];
                to.pointwise[size_t(f) * channels + c] = float(total);
            }
    }
    way.write(to);
}

}  // namespace
