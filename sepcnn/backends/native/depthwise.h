// Depthwise convolution: a window on each channel.

#pragma once

#include "window.h"

namespace {

// Of a convolution; null what it has not.
struct Kernels {
    const float *depthwise;  // channels × K × K
    const float *pointwise;  // filters × channels
    const float *dense;  // filters × K × K × channels, alone
    int filters;
};

// Taps × lanes, of a kernel channels × taps; without a kernel 1.
template <int TAPS> struct Taps {
    Aligned<float> values;
    int stride;

    Taps(const float *kernel, int channels, int lanes, bool turned)
        : values(size_t(TAPS) * whole(lanes)), stride(whole(lanes)) {
        for (int tap = 0; tap < TAPS; tap++)
            for (int i = 0; i < lanes; i++)
                values[size_t(turned ? TAPS - 1 - tap : tap) * stride + i] =
                    kernel ? kernel[i % channels * TAPS + tap] : 1;
    }
    Vector at(int tap, int lane) const { return load(&values[size_t(tap) * stride + lane]); }
};

// One row of the result, from the window's K rows that begin at `top` and pixels `step` values apart.
// Where MOMENTS, sums get the values and their squares.
template <bool MOMENTS, int K, class Fit, class T, class To>
APART void convolve_row(Fit fit, Window<T> &window, int top, const Taps<K * K> &taps, Row cut, int channels,
                        int step, To *to, Sums::Mine sums) {
    const float *rows[K];
    for (int i = 0; i < K; i++) rows[i] = window.row(top + i);
    for (int c = 0; c < cut.lanes; c += LANES) {
        Vector tap[K][K], total = ZERO, squares = ZERO;
        const float *from[K];
        UNROLLED
        for (int i = 0; i < K; i++) {
            from[i] = rows[i] + c;
            UNROLLED
            for (int j = 0; j < K; j++) tap[i][j] = taps.at(i * K + j, c);
        }
        const auto count = counted(fit, cut.lanes - c);
        To *at = to + c;
        for (int col = 0; col < cut.columns; col++, at += channels) {
            Vector sum = ZERO;
            UNROLLED
            for (int i = 0; i < K; i++) {
                UNROLLED
                for (int j = 0; j < K; j++) sum += load(from[i] + j * channels) * tap[i][j];
                from[i] += step;
            }
            store(at, sum, count);
            if (MOMENTS) total += sum, squares += sum * sum;
        }
        if (!MOMENTS) continue;
        sums.add(0, c, total);
        sums.add(1, c, squares);
    }
}

// y, and mean and variance of each of its channels.
template <class T, int K>
void depthwise(const T *x, Shape in, View as_is, Grid grid, Kernels kernels, T *y, Moments moments,
               int threads) {
    const int channels = in.channels, step = grid.across * channels;
    const Row cut(grid.width, channels, grid.across == 1);
    const Taps<K * K> taps(kernels.depthwise, channels, cut.lanes, false);
    const SpreadView view(as_is, channels, Row(in.width, channels).lanes);
    Sums sums(threads, 2, cut.lanes);
    over_bands(threads, in.images, grid.height, [&](int task, int n, int first, int last) {
        const T *image = x + size_t(n) * in.height * in.width * channels;
        Window<T> window(K, in.width, grid.left, grid.right(K, in.width), channels);
        window.next = first * grid.down - grid.top;
        for (int row = first; row < last; row++) {
            const int top = row * grid.down - grid.top;
            window.reach(image, in.height, top, view);
            with_fit(cut.lanes, [&](auto fit) {
                convolve_row<true, K>(fit, window, top, taps, cut, channels, step,
                                      y + (size_t(n) * grid.height + row) * grid.width * channels, sums.mine());
            });
        }
        sums.settle(task);
    });
    sums.write_moments(moments, channels, in.images * grid.pixels());
}

// Where gradients go; null where nobody asks for them.
struct Gradients {
    void *x;
    float *scale, *offset, *depthwise, *pointwise, *dense;
};

// A row of the gradient of x, unless `to` is null, and what it adds to those of the taps, the scale
// and the offset. `back` are rows of the gradient of the depthwise result, with zeros around.
template <int K, class Fit, class T>
APART void gradients_of_row(Fit fit, const float *const (&back)[K], const Taps<K * K> &turned, const float *seen_row,
                            const T *raw_row, const View &as_is, Row cut, int channels, Sums::Mine sums, T *to_row) {
    const View view = as_is;
    for (int i = 0; to_row && i < cut.lanes * cut.columns; i += LINE / sizeof(T)) fetch_to_write(to_row + i);
    for (int c = 0; c < cut.lanes; c += LANES) {
        const auto count = counted(fit, cut.lanes - c);
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

// The way back through a depthwise convolution, row by row of the images.
//
// The gradient of a convolution is one with the kernel turned around and stride 1, over the gradient of
// its result with zeros put in where the stride left pixels out.
template <class T, int K> struct WayBack {
    const T *x;
    const Shape in;
    const Grid grid;
    const Row cut;
    const Taps<K * K> turned;
    const SpreadView view;
    Sums sums;

    WayBack(const T *x, Shape in, View as_is, Grid grid, const float *kernel, int threads)
        : x(x), in(in), grid(grid), cut(in.width, in.channels), turned(kernel, in.channels, cut.lanes, true),
          view(as_is, in.channels, cut.lanes), sums(threads, K * K + 2, cut.lanes) {}

    // What a thread holds of an image.
    struct Rows {
        Window<T> window, back;
    };
    Rows rows() const {
        const int width = (grid.width - 1) * grid.across + 1, before = K - 1 - grid.left;
        return {{K, in.width, grid.left, grid.right(K, in.width), in.channels},
                {K, width, before, in.width + K - 1 - before - width, in.channels}};
    }

    // The gradients of one image, in a task; `make(row, top, into)` writes a row of the result's gradient, pixels
    // grid.across apart, while the window holds what this row was made of, from row `top` on.
    template <class Make> void image(int task, int n, Rows &rows, T *to, Make make) {
        auto &[window, back] = rows;
        const int channels = in.channels, before = back.left * channels;
        const Sums::Mine mine = sums.mine();
        const size_t first = size_t(n) * in.height * in.width * channels;
        window.next = 1 - K;
        // Row r of the stretched result needs the image's rows from r − top, and gives its gradient to them.
        for (int r = grid.top - K + 1; r < in.height + grid.top; r++) {
            window.reach(x + first, in.height, r - grid.top, view);
            float *into = back.row(r) + before;
            if (r < 0 || r % grid.down || r / grid.down >= grid.height)
                std::fill(into, into + back.width * channels, 0.0f);
            else
                make(r / grid.down, r - grid.top, into);
            const int done = r - grid.top;
            if (done < 0) continue;
            const size_t start = first + size_t(done) * in.width * channels;
            const float *back_rows[K];
            for (int i = 0; i < K; i++) back_rows[i] = back.row(r - K + 1 + i);
            with_fit(cut.lanes, [&](auto fit) {
                gradients_of_row<K>(fit, back_rows, turned, window.row(done) + grid.left * channels, x + start, view,
                                    cut, channels, mine, to ? to + start : nullptr);
            });
        }
        sums.settle(task);
    }

    void write(Gradients to) const {
        for (int tap = 0; to.depthwise && tap < K * K; tap++)
            sums.write(tap, to.depthwise + K * K - 1 - tap, in.channels, K * K);
        if (!to.scale) return;
        sums.write(K * K, to.scale, in.channels);
        sums.write(K * K + 1, to.offset, in.channels);
    }
};

template <class T, int K>
void depthwise_backward(Result<T> result, const T *x, Shape in, View view,
                        Grid grid, Kernels kernels, Gradients to, int threads) {
    WayBack<T, K> way(x, in, view, grid, kernels.depthwise, threads);
    const ResultGradient<T> gradient(result, in.images, grid, in.channels, grid.across * in.channels);
    const Tasks tasks(threads, in.images);
#pragma omp parallel num_threads(threads)
    {
        auto rows = way.rows();
#pragma omp for schedule(dynamic)
        for (int task = 0; task < tasks.count; task++)
            for (int n = tasks.begin(task); n < tasks.end(task); n++)
                way.image(task, n, rows, static_cast<T *>(to.x), [&](int row, int, float *into) {
                    gradient.read(size_t(n) * grid.height + row, into);
                });
    }
    way.write(to);
}

}  // namespace
