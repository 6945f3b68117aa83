// The rows of the input that a convolution covers, and bands of rows as work for threads.

#pragma once

#include <climits>

#include "clamped_affine.h"
#include "sums.h"

namespace {

struct Shape {
    int images, height, width, channels;

    size_t row_size() const { return size_t(width) * channels; }
    size_t image_size() const { return height * row_size(); }
};

// Where a convolution or a pooling reads its input. Its kernel size is a template argument, K.
struct Geometry {
    int stride_down, stride_across, padding_top, padding_left, height, width;  // of the output

    size_t pixels() const { return size_t(height) * width; }
    // The number of output pixels before a row, in all images.
    size_t start(int image, int row) const { return (size_t(image) * height + row) * width; }
    // The input row, perhaps above the image, at which output row `row` begins.
    int top(int row) const { return row * stride_down - padding_top; }
    // Columns right of the image that kernels cover.
    int padding_right(int kernel_size, int image_width) const {
        const int end = (width - 1) * stride_across + kernel_size - padding_left;
        return std::max(0, end - image_width);
    }
};

// What a convolution reads: read_as(x).
struct Input {
    const Element *x;
    Shape shape;
    ClampedAffine read_as;

    RowLayout layout() const { return {shape.width, shape.channels}; }
};

// The last `rows` rows of an image as float, with zeros left and right of them. Row y replaces row
// y - rows. They are few and narrow enough for the first or second cache.
struct RowRing {
    int rows, width, left, channels, stride;
    Aligned<float> values;

    RowRing(int rows, int width, int left, int right, int channels)
        : rows(rows), width(width), left(left), channels(channels),
          stride(round_up_to_lanes((left + width + right) * channels + LANES)),
          values(size_t(rows) * stride) {}

    // From the zeros on the left on.
    float *padded_row(int y) { return values.data() + size_t((y + rows) % rows) * stride; }
    // From the first pixel on.
    float *row(int y) { return padded_row(y) + left * channels; }
};

// The K rows of the input that an output row needs. Each row is read once per image or band.
template <int K> struct InputRows : RowRing {
    const Element *x, *image = nullptr;
    const Shape shape;
    const LaneAffine &read_as;
    int next = INT_MIN;  // the first row that was not read

    InputRows(const Input &input, const LaneAffine &read_as, const Geometry &geometry)
        : RowRing(K, input.shape.width, geometry.padding_left,
                  geometry.padding_right(K, input.shape.width), input.shape.channels),
          x(input.x), shape(input.shape), read_as(read_as) {}

    void start_image(int number) {
        image = x + number * shape.image_size();
        next = INT_MIN;
    }
    // Reads on until rows y to y + K - 1 are there; y never decreases within an image.
    void advance_to(int y) {
        for (next = std::max(next, y); next < y + K; next++) read(next);
    }

    void read(int y) {
        float *to = row(y);
        if (y < 0 || y >= shape.height) {
            std::fill(to, to + shape.row_size(), 0.0f);
            return;
        }
        const RowLayout layout(width, channels);
        with_fit(layout.lanes, [&](auto fit) {
            read_row(fit, image + y * shape.row_size(), read_as, layout, channels, to);
        });
    }

    template <class Fit>
    NOINLINE static void read_row(Fit fit, const Element *from, const ClampedAffine &read_as,
                                  RowLayout layout, int channels, float *to) {
        const ClampedAffine affine = read_as;
        // Pixel by pixel, in the order of memory. Channel by channel, scale and offset would stay
        // in registers, but they are in the first cache, and the image is not.
        for (int p = 0; p < layout.columns; p++)
            for (int c = 0; c < layout.lanes; c += LANES) {
                const auto count = lane_count(fit, layout.lanes - c);
                const int at = p * channels + c;
                prefetch(from + at + layout.columns * layout.lanes);
                const Vector x = load(from + at, count);
                const bool identity = affine.is_identity();
                store(to + at, identity ? x : affine.apply(x, affine.scales(c), affine.offsets(c)),
                      count);
            }
    }
};

// Calls work(task, image, first, last) for bands of rows, from `first` up to `last`. A band is a
// whole image, unless there are too few images to keep the threads busy.
template <class Work> void for_each_band(int threads, int images, int rows, Work work) {
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

// Calls work(input_rows, image, first, last) for bands of the output rows of a convolution, and
// flushes the sums of each.
template <int K, class Work>
void for_each_output_band(const Input &input, const Geometry &geometry, int threads, Sums &sums,
                          Work work) {
    const LaneAffine read_as(input.read_as, input.shape.channels, input.layout().lanes);
    for_each_band(threads, input.shape.images, geometry.height,
                  [&](int task, int image, int first, int last) {
                      InputRows<K> rows(input, read_as, geometry);
                      rows.start_image(image);
                      work(rows, image, first, last);
                      sums.flush(task);
                  });
}

}  // namespace
