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

// Narrow images have several rows multiplied at once, since each product reads the whole pointwise
// kernel, or writes its gradient.
int rows_at_once(Grid grid) { return std::max(1, 64 / grid.width); }

// y, and mean and variance of each of its channels.
template <class T, int K>
void separable(const T *x, Shape in, View as_is, Grid grid, Kernels kernels, T *y, Moments moments,
               int threads) {
    const int channels = in.channels, filters = kernels.filters, step = grid.across * channels;
    const Row cut(grid.width, channels, grid.across == 1);
    const Taps<K * K> taps(kernels.depthwise, channels, cut.lanes, false);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    const auto pointwise = packed<T>(kernels.pointwise, channels, filters, 1, channels);
    const int depth = words_of<T>(channels);
    Sums sums(threads, 2, filters);
    over_bands(threads, in.images, grid.height, [&](int task, int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        Window<T> window(K, in.width, grid.left, grid.right(K, in.width), channels);
        window.next = first * grid.down - grid.top;
        RowOfWords<T> middle(rows_at_once(grid) * grid.width, channels);
        for (int row = first; row < last;) {
            const int rows = std::min(rows_at_once(grid), last - row), pixels = rows * grid.width;
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
            multiply<T>(middle.words(), depth, 1, pointwise.data(), depth, pixels, filters,
                        StoredWithMoments<T>{{out, filters, filters}, sums.mine().of(0), sums.mine().of(1)});
            row += rows;
        }
        sums.settle(task);
    });
    sums.write_moments(moments, filters, in.images * grid.pixels());
}

template <class T, int K>
void separable_backward(Result<T> result, const T *x, Shape in, View view,
                        Grid grid, Kernels kernels, Gradients to, int threads) {
    const int channels = in.channels, filters = kernels.filters, step = grid.across * channels;
    const int depth = words_of<T>(filters), pairs = words_of<T>(grid.width), stride = whole(filters);
    const Row cut(grid.width, channels, grid.across == 1);
    const Taps<K * K> taps(kernels.depthwise, channels, cut.lanes, false);
    const auto pointwise = packed<T>(kernels.pointwise, filters, channels, channels, 1);
    const ResultGradient<T> gradient(result, in.images, grid, filters, filters);
    WayBack<T, K> way(x, in, view, grid, kernels.depthwise, threads);
    // The pointwise kernel's gradient in each task: few where it is large.
    const size_t size = size_t(channels) * stride;
    const Tasks tasks(threads, in.images, MOST_SUMS / size);
    std::vector<Aligned<float>> products(tasks.count);
#pragma omp parallel num_threads(threads)
    {
        auto rows = way.rows();
        Aligned<Element<T>> middle(grid.width * channels + LANES);
        RowOfWords<T> y_gradient(grid.width, filters);
        // Rows whose product is still to be added to that.
        const int most = rows_at_once(grid);
        int open = 0;
        Aligned<Word<T>> left(size_t(most) * pairs * whole(channels)), right(size_t(most) * pairs * stride);
        auto add_products = [&](int task) {
            multiply<T>(left.data(), 1, whole(channels), right.data(), open * pairs, channels, filters,
                        Added{products[task].data(), stride});
            open = 0;
        };
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++) {
            products[task].resize(size);
            for (int n = tasks.begin(task); n < tasks.end(task); n++)
                way.image(task, n, rows, static_cast<T *>(to.x), [&](int row, int top, float *into) {
                    with_fit(cut.lanes, [&](auto fit) {
                        convolve_row<false, K>(fit, rows.window, top, taps, cut, channels, step, middle.data(), {});
                    });
                    pack_pixels<T>(middle.data(), grid.width, channels, &left[size_t(open) * pairs * whole(channels)]);
                    gradient.read(size_t(n) * grid.height + row, y_gradient.elements.data());
                    pack_pixels<T>(y_gradient.elements.data(), grid.width, filters,
                                   &right[size_t(open) * pairs * stride]);
                    y_gradient.spread_out(grid.width);
                    multiply<T>(y_gradient.words(), depth, 1, pointwise.data(), depth, grid.width, channels,
                                Stored<float>{into, channels, step});
                    if (++open == most) add_products(task);
                });
            if (open) add_products(task);
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
