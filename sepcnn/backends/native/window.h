// Rows of an image, as a kernel needs them.

#pragma once

#include "sums.h"
#include "view.h"

namespace {

struct Shape {
    int images, height, width, channels;
};

// Where windows lie: strides, margins and the size of the result.
struct Grid {
    int down, across, top, left, height, width;

    size_t pixels() const { return size_t(height) * width; }
    // Columns beside the image that windows of `size` reach into.
    int right(int size, int image_width) const {
        return std::max(0, (width - 1) * across + size - left - image_width);
    }
};

// As many rows of an image as a kernel is high, with zeros around, in float.
template <class T> struct Window {
    int rows, width, left, channels, stride, next = 0;
    Aligned<float> values;

    Window(int rows, int width, int left, int right, int channels)
        : rows(rows), width(width), left(left), channels(channels),
          stride(whole((left + width + right) * channels + LANES)), values(size_t(rows) * stride) {}

    float *row(int y) { return values.data() + size_t((y + rows) % rows) * stride; }

    // Reads on until all rows from y on are there; `next`, the first that is not, is set before an image.
    void reach(const T *image, int height, int y, const View &view) {
        for (next = std::max(next, y); next < y + rows; next++) read(image, height, next, view);
    }

    // Row y of an image as it is seen; zeros outside of it.
    void read(const T *image, int height, int y, const View &view) {
        float *to = row(y) + left * channels;
        if (y < 0 || y >= height) {
            std::fill(to, to + width * channels, 0.0f);
            return;
        }
        const T *from = image + size_t(y) * width * channels;
        const Row cut(width, channels);
        with_fit(cut.lanes, [&](auto fit) { read_row(fit, from, view, cut, channels, to); });
    }

    template <class Fit>
    APART static void read_row(Fit fit, const T *from, const View &as_is, Row cut, int channels, float *to) {
        const View view = as_is;
        for (int x = 0; x < cut.columns; x++)  // pixel by pixel, as memory is read fastest
            for (int c = 0; c < cut.lanes; c += LANES) {
                const auto count = counted(fit, cut.lanes - c);
                const int at = x * channels + c;
                fetch(from + at + cut.columns * cut.lanes);
                const Vector raw = load(from + at, count);
                store(to + at, view.plain() ? raw : view.at(raw, view.scales(c), view.offsets(c)), count);
            }
    }
};

// What an operation gave, and what comes back: the gradients of its result y and, unless null, of y's moments.
template <class T> struct Result {
    const T *gradient, *y;
    const float *mean;
    Moments gradients;
};

// What the gradients of `count` values' moments add to that of each value x: once + twice · x.
struct MomentGradients {
    Aligned<float> once, twice;

    MomentGradients(const float *mean, Moments gradients, int channels, int lanes, size_t count)
        : once(lanes + LANES), twice(lanes + LANES) {
        for (int i = 0; gradients.mean && i < lanes; i++) {
            const int c = i % channels;
            twice[i] = 2 * gradients.variance[c] / count;
            once[i] = gradients.mean[c] / count - twice[i] * mean[c];
        }
    }
};

// The gradient of an operation's result, row by row.
template <class T> struct ResultGradient {
    const T *gradient, *y;
    const int width, channels, step;
    const Row cut;
    const MomentGradients moments;

    // Rows are written with `step` values between pixels.
    ResultGradient(Result<T> result, int images, Grid grid, int channels, int step)
        : gradient(result.gradient), y(result.gradients.mean ? result.y : nullptr), width(grid.width),
          channels(channels), step(step), cut(width, channels, step == channels),
          moments(result.mean, result.gradients, channels, cut.lanes, images * grid.pixels()) {}

    // Row `row` of all images' rows, in one gradient.
    template <class To> void read(size_t row, To *to) const {
        const size_t start = row * width * channels;
        with_fit(cut.lanes, [&](auto fit) {
            add(fit, gradient + start, y ? y + start : nullptr, moments, cut, channels, to, step);
        });
    }

    template <class Fit, class To>
    APART static void add(Fit fit, const T *gradient, const T *y, const MomentGradients &moments, Row cut,
                          int channels, To *to, int step) {
        const float *once = moments.once.data(), *twice = moments.twice.data();
        for (int col = 0; col < cut.columns; col++)
            for (int c = 0; c < cut.lanes; c += LANES) {
                const int at = col * channels + c;
                const auto count = counted(fit, cut.lanes - c);
                fetch(gradient + at + cut.columns * cut.lanes);
                Vector g = load(gradient + at, count);
                if (y) {
                    fetch(y + at + cut.columns * cut.lanes);
                    g += load(once + c) + load(twice + c) * load(y + at, count);
                }
                store(to + col * step + c, g, count);
            }
    }
};

// Work on images; few of them are cut into bands of rows. It gets the task, the image, and rows from first to last.
template <class Work> void over_bands(int threads, int images, int rows, Work work) {
    const int few = Tasks::fewest(threads);
    const int bands = images >= few || !images ? 1 : std::min(rows, (few + images - 1) / images);
    const Tasks tasks(threads, long(images) * bands);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int task = 0; task < tasks.count; task++)
        for (long part = tasks.begin(task); part < tasks.end(task); part++) {
            const int band = part % bands;
            work(task, part / bands, rows * band / bands, rows * (band + 1) / bands);
        }
}

}  // namespace
