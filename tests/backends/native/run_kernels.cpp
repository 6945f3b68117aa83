// Runs every kernel on small images of odd sizes, for test_sanitizers.py, which compiles this file
// with sanitizers. Buffers have exactly the size that Python would give them, so that a kernel that
// reads or writes beyond an image ends the program. Results are not compared with a reference (the
// Python tests do that), only between numbers of threads: they must be equal to the bit.
//
// It prints the number of kernel calls.

#include <cstdio>
#include <cstdlib>
#include <random>

#include "../../../sepcnn/backends/native/kernels.cpp"

namespace {

int calls = 0;
const int THREADS[] = {1, 3};

// Random values on the heap, without padding.
template <class T> struct Buffer {
    std::vector<T> values;

    explicit Buffer(size_t size, unsigned seed = 1) : values(size) {
        std::mt19937 random(seed);
        std::uniform_real_distribution<float> uniform(-2, 2);
        for (T &value : values) store(&value, ZERO + uniform(random), 1);
    }
    operator T *() { return values.data(); }
    operator const T *() const { return values.data(); }
};

void expect(bool equal, const char *kernel) {
    if (equal) return;
    std::fprintf(stderr, "%s: results depend on the number of threads\n", kernel);
    std::exit(1);
}

// Runs a kernel on several numbers of threads. `run(threads)` returns all that it wrote.
template <class Run> void on_threads(const char *kernel, Run run) {
    const auto expected = run(THREADS[0]);
    for (int threads : THREADS) expect(run(threads) == expected, kernel), calls += 1;
}

template <class... Ts> std::vector<uint8_t> bytes(const std::vector<Ts> &...buffers) {
    std::vector<uint8_t> all;
    const auto append = [&](const auto &buffer) {
        const auto *from = reinterpret_cast<const uint8_t *>(buffer.data());
        all.insert(all.end(), from, from + buffer.size() * sizeof buffer[0]);
    };
    (append(buffers), ...);
    return all;
}

// Geometry of TensorFlow's padding; width or height 0 if no kernel fits.
Geometry geometry_of(const Shape &shape, int kernel_size, int down, int across, bool same) {
    const auto output = [&](int size, int stride) {
        return same ? (size + stride - 1) / stride : std::max(0, (size - kernel_size) / stride + 1);
    };
    const auto before = [&](int size, int stride) {
        return same ? std::max(0, (output(size, stride) - 1) * stride + kernel_size - size) / 2 : 0;
    };
    return {down,
            across,
            before(shape.height, down),
            before(shape.width, across),
            shape.height < kernel_size && !same ? 0 : output(shape.height, down),
            shape.width < kernel_size && !same ? 0 : output(shape.width, across)};
}

struct Affine {
    Buffer<float> scale, offset;

    explicit Affine(int channels) : scale(channels, 2), offset(channels, 3) {}
    ClampedAffine clamped() const { return {scale, offset, -0.5f, 1.5f}; }
};
constexpr ClampedAffine IDENTITY = {nullptr, nullptr, -std::numeric_limits<float>::infinity(),
                                    std::numeric_limits<float>::infinity()};

enum Kind { SEPARABLE, DEPTHWISE, POINTWISE, DENSE };

void run_convolution(const Shape &shape, Kind kind, int filters, const Geometry &geometry,
                     bool identity, bool of_images) {
    const int channels = shape.channels;
    if (kind == DEPTHWISE) filters = channels;
    const Affine affine(channels);
    const size_t outputs = shape.images * geometry.pixels() * filters;
    const Buffer<Element> x(shape.images * shape.image_size()), output_gradient(outputs, 4);
    const Buffer<float> depthwise(size_t(channels) * 9, 5),
        pointwise(size_t(filters) * channels, 6), dense(size_t(filters) * channels * 9, 7),
        moment_gradients(2 * filters, 8);
    const bool has_depthwise = kind == SEPARABLE || kind == DEPTHWISE;
    const bool has_pointwise = kind == SEPARABLE || kind == POINTWISE;
    const ConvolutionWeights weights = {has_depthwise ? &depthwise[0] : nullptr,
                                        has_pointwise ? &pointwise[0] : nullptr,
                                        kind == DENSE ? &dense[0] : nullptr, filters};
    const Input input = {x, shape, identity ? IDENTITY : affine.clamped()};
    Buffer<Element> y(outputs);
    Buffer<float> mean(filters), variance(filters);
    on_threads("convolution", [&](int threads) {
        sepcnn_convolution(input, geometry, weights, y, {mean, variance}, threads);
        return bytes(y.values, mean.values, variance.values);
    });
    const Moments no_moments = {nullptr, nullptr};
    Buffer<float> given = moment_gradients;
    for (Moments of_moments : {no_moments, Moments{given, given + filters}})
        on_threads("convolution_backward", [&](int threads) {
            Buffer<Element> x_gradient(of_images ? 0 : x.values.size());
            const size_t affines = of_images || identity ? 0 : channels;
            Buffer<float> scale(affines), offset(affines),
                depthwise_gradient(depthwise.values.size()),
                pointwise_gradient(pointwise.values.size()), dense_gradient(dense.values.size());
            const ConvolutionGradients to = {of_images ? nullptr : &x_gradient[0],
                                             affines ? &scale[0] : nullptr,
                                             affines ? &offset[0] : nullptr,
                                             has_depthwise ? &depthwise_gradient[0] : nullptr,
                                             has_pointwise ? &pointwise_gradient[0] : nullptr,
                                             kind == DENSE ? &dense_gradient[0] : nullptr};
            sepcnn_convolution_backward({output_gradient, y, mean, of_moments}, input, geometry,
                                        weights, to, threads);
            return bytes(x_gradient.values, scale.values, offset.values, depthwise_gradient.values,
                         pointwise_gradient.values, dense_gradient.values);
        });
}

void run_max_pool(const Shape &shape, int kernel_size, const Geometry &geometry, bool scaled) {
    const Buffer<float> scale(shape.channels, 2);
    const Buffer<Element> x(shape.images * shape.image_size());
    const size_t outputs = shape.images * geometry.pixels() * shape.channels;
    const Buffer<Element> gradient(outputs, 4);
    Buffer<Element> y(outputs), x_gradient(x.values.size());
    std::vector<uint8_t> places(outputs);
    on_threads("max_pool", [&](int threads) {
        sepcnn_max_pool(x, shape, scaled ? &scale[0] : nullptr, kernel_size, geometry, y,
                        places.data(), threads);
        return bytes(y.values, places);
    });
    on_threads("max_pool_backward", [&](int threads) {
        sepcnn_max_pool_backward(gradient, places.data(), shape, kernel_size, geometry, x_gradient,
                                 threads);
        return bytes(x_gradient.values);
    });
}

void run_pixelwise(const Shape &shape) {
    const int channels = shape.channels;
    const long pixels = long(shape.images) * shape.height * shape.width;
    const Affine affine(channels);
    const Buffer<Element> x(pixels * channels), other(pixels * channels, 4);
    Buffer<Element> y(pixels * channels), x_gradient(pixels * channels);
    Buffer<float> mean(channels), variance(channels), scale(channels), offset(channels);
    on_threads("moments", [&](int threads) {
        sepcnn_moments(x, pixels, channels, {mean, variance}, threads);
        return bytes(mean.values, variance.values);
    });
    on_threads("moments_backward", [&](int threads) {
        sepcnn_moments_backward({other, x, mean, {scale, offset}}, pixels, channels, x_gradient,
                                threads);
        return bytes(x_gradient.values);
    });
    on_threads("clamped_affine", [&](int threads) {
        sepcnn_clamped_affine(x, pixels, channels, affine.clamped(), y, threads);
        return bytes(y.values);
    });
    on_threads("clamped_affine_backward", [&](int threads) {
        sepcnn_clamped_affine_backward(other, x, pixels, channels, affine.clamped(), x_gradient,
                                       scale, offset, threads);
        return bytes(x_gradient.values, scale.values, offset.values);
    });
    for (const ClampedAffine &first : {IDENTITY, affine.clamped()})
        on_threads("add", [&](int threads) {
            sepcnn_add(x, other, pixels, channels, first, affine.clamped(), y, threads);
            return bytes(y.values);
        });
}

void run_normalization(int channels) {
    const Buffer<float> mean(channels), variance(channels, 2), scale_gradient(channels, 3),
        offset_gradient(channels, 4), weight(channels, 5), bias(channels, 6);
    Buffer<float> first(channels), second(channels), third(channels);
    for (bool weighted : {false, true}) {
        sepcnn_normalization_coefficients(mean, variance, weighted ? &weight[0] : nullptr,
                                          weighted ? &bias[0] : nullptr, 4, channels, first, second,
                                          1);
        sepcnn_normalization_coefficients_backward(
            scale_gradient, offset_gradient, mean, variance, weighted ? &weight[0] : nullptr, 4,
            channels, first, second, weighted ? &third[0] : nullptr, 1);
        calls += 2;
    }
}

void run_shape(const Shape &shape) {
    run_pixelwise(shape);
    run_normalization(shape.channels);
    const int strides[][2] = {{1, 1}, {2, 2}, {3, 1}};
    for (bool same : {false, true})
        for (const auto &[down, across] : strides) {
            for (int size : {1, 2, 3}) {
                const Geometry geometry = geometry_of(shape, size, down, across, same);
                if (!geometry.pixels()) continue;
                if (size > 1) run_max_pool(shape, size, geometry, same);
                const bool identity = down == 1 && same;
                if (size == 1) run_convolution(shape, POINTWISE, 21, geometry, identity, false);
                if (size < 3) continue;
                run_convolution(shape, SEPARABLE, 21, geometry, identity, false);
                run_convolution(shape, SEPARABLE, 32, geometry, !identity, true);
                run_convolution(shape, DEPTHWISE, 0, geometry, identity, false);
                if (shape.channels <= 7)
                    run_convolution(shape, DENSE, 21, geometry, identity, true);
            }
        }
}

}  // namespace

int main() {
    // images, height, width, channels
    const Shape shapes[] = {{2, 7, 9, 5},  {3, 1, 1, 1},   {3, 1, 1, 33},
                            {1, 9, 70, 3}, {2, 5, 6, 1},   {1, 9, 9, 33},
                            {5, 6, 5, 16}, {1, 40, 3, 17}, {1, 2, 2, 160}};
    for (const Shape &shape : shapes) run_shape(shape);
    std::printf("%d\n", calls);
}
