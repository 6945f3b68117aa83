// Rows of an image, as a kernel needs them.

#pragma once

#include "view.h"

namespace {

struct Shape {
    int images, height, width, channels;
};

// As many rows of an image as a kernel is high, with zeros around, in float.
template <class T> struct Window {
    int rows, width, left, channels, stride;
    Aligned<float> values;

    Window(int rows, int width, int left, int right, int channels)
        : rows(rows), width(width), left(left), channels(channels),
          stride(whole((left + width + right) * channels + LANES)), values(size_t(rows) * stride) {}

    float *row(int y) { return values.data() + size_t((y + rows) % rows) * stride; }

    // Row y of an image as it is seen; zeros outside of it.
    template <bool WHOLE> void read(const T *image, int height, int y, const View &view) {
        float *to = row(y) + left * channels;
        if (y < 0 || y >= height) {
            std::fill(to, to + width * channels, 0.0f);
            return;
        }
        const T *from = image + size_t(y) * width * channels;
        const Row cut(width, channels);
        for (int x = 0; x < cut.columns; x++)  // pixel by pixel, as memory is read fastest
            for (int c = 0; c < cut.lanes; c += LANES) {
                const auto count = counted<WHOLE>(cut.lanes - c);
                const int at = x * channels + c;
                fetch(from + at + width * channels);
                const Vector raw = load(from + at, count);
                store(to + at, view.plain() ? raw : view.at(raw, view.scales(c), view.offsets(c)), count);
            }
    }
};

// Images are shared out among threads; few images are cut into bands of rows.
template <class Work> void over_bands(int threads, int images, int rows, Work work) {
    const int bands = images >= threads ? 1 : std::min(rows, (threads + images - 1) / images);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int task = 0; task < images * bands; task++) {
        const int image = task / bands, band = task % bands;
        work(image, rows * band / bands, rows * (band + 1) / bands);
    }
}

}  // namespace
