// Sums over pixels, shared out among threads.

#pragma once

#include <omp.h>

#include "vectors.h"

namespace {

// Of each channel.
struct Moments {
    float *mean, *variance;
};

// Sums for each thread, added up in the order of threads: the same in every run. What one image or
// a few pixels give is float, the rest double.
struct Sums {
    int threads, kinds, lanes;
    std::vector<double> totals;
    Aligned<float> open;

    Sums(int threads, int kinds, int lanes)
        : threads(threads), kinds(kinds), lanes(lanes), totals(size_t(threads) * kinds * lanes),
          open(size_t(threads) * kinds * whole(lanes)) {}

    // The open sums of one thread.
    struct Mine {
        float *values;
        int stride;

        float *of(int kind) const { return values + size_t(kind) * stride; }
        void add(int kind, int lane, Vector value) const {
            float *to = of(kind) + lane;
            store(to, load(to) + value);
        }
    };
    Mine mine() { return {&open[size_t(omp_get_thread_num()) * kinds * whole(lanes)], whole(lanes)}; }
    // Adds the thread's open sums to its totals.
    void settle() {
        const size_t first = size_t(omp_get_thread_num()) * kinds;
        for (size_t kind = first; kind < first + kinds; kind++)
            for (int i = 0; i < lanes; i++) {
                totals[kind * lanes + i] += open[kind * whole(lanes) + i];
                open[kind * whole(lanes) + i] = 0;
            }
    }
    // All threads' totals: kinds × lanes.
    std::vector<double> added_up() const {
        std::vector<double> result(size_t(kinds) * lanes);
        for (size_t i = 0; i < totals.size(); i++) result[i % result.size()] += totals[i];
        return result;
    }
    std::vector<double> of_channels(int kind, int channels) const {
        std::vector<double> total(channels);
        for (int t = 0; t < threads; t++)
            for (int i = 0; i < lanes; i++)
                total[i % channels] += totals[(size_t(t) * kinds + kind) * lanes + i];
        return total;
    }
    // One value a channel, `stride` apart.
    void write(int kind, float *to, int channels, int stride = 1) const {
        const auto total = of_channels(kind, channels);
        for (int c = 0; c < channels; c++) to[c * stride] = float(total[c]);
    }
    // Of `count` values a channel, of which the sums and those of squares are known.
    void write_moments(Moments to, int channels, size_t count) const {
        const auto sums = of_channels(0, channels), squares = of_channels(1, channels);
        for (int c = 0; c < channels; c++) {
            const double mean = sums[c] / count, variance = squares[c] / count - mean * mean;
            to.mean[c] = float(mean);
            to.variance[c] = variance < 0 ? 0 : float(variance);
        }
    }
};

}  // namespace
