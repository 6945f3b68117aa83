// Work divided among threads, and sums over pixels that do not depend on who did what.

#pragma once

#include <omp.h>

#include "vectors.h"

namespace {

// Work of `parts` parts, divided into tasks: runs of consecutive parts. A thread takes the next
// task when it has finished one, since processors differ in speed and other programs use them too
// (123 instead of 135 ms in the log).
struct Tasks {
    const long parts, count;

    // The fewest tasks that keep all threads busy. Up to four threads the number is the same, and
    // so are all sums.
    static int fewest(int threads) { return std::max(4, threads); }
    // Four tasks per thread: at the end a thread waits for at most a quarter of another's work.
    static int enough(int threads) { return 4 * fewest(threads); }

    Tasks(int threads, long parts) : Tasks(threads, parts, enough(threads)) {}
    // At most `most` tasks, for work that needs memory per task.
    Tasks(int threads, long parts, size_t most)
        : parts(parts),
          count(std::min<long>(
              parts, std::max<long>(fewest(threads), std::min<long>(most, enough(threads))))) {}

    long begin(int task) const { return parts * task / count; }
    long end(int task) const { return begin(task + 1); }
};

// Mean and biased variance of each channel, or the gradients of both.
struct Moments {
    float *mean, *variance;
};

// Sums over pixels: `kinds` of them, each with `lanes` values.
//
// A thread adds up one image or a few pixels in float and then flushes them to the totals of the
// task, which are double. Tasks are added in their order, so that every run gives the same numbers.
struct Sums {
    int tasks, kinds, lanes;
    std::vector<double> totals;
    Aligned<float> partial;  // of each thread

    Sums(int threads, int kinds, int lanes)
        : tasks(Tasks::enough(threads)), kinds(kinds), lanes(lanes),
          totals(size_t(tasks) * kinds * lanes),
          partial(size_t(threads) * kinds * round_up_to_lanes(lanes)) {}

    // The partial sums of one thread.
    struct Partial {
        float *values;
        int stride;

        float *of(int kind) const { return values + size_t(kind) * stride; }
        void add(int kind, int lane, Vector value) const {
            float *to = of(kind) + lane;
            store(to, load(to) + value);
        }
    };
    Partial of_thread() {
        const int stride = round_up_to_lanes(lanes);
        return {&partial[size_t(omp_get_thread_num()) * kinds * stride], stride};
    }
    // Adds the partial sums of the calling thread to the totals of a task, and sets them to 0.
    void flush(int task) {
        for (int kind = 0; kind < kinds; kind++) {
            double *to = &totals[(size_t(task) * kinds + kind) * lanes];
            float *from = of_thread().of(kind);
            for (int i = 0; i < lanes; i++) to[i] += from[i], from[i] = 0;
        }
    }
    // The totals of all tasks: kinds × lanes.
    std::vector<double> added_up() const {
        std::vector<double> result(size_t(kinds) * lanes);
        for (size_t i = 0; i < totals.size(); i++) result[i % result.size()] += totals[i];
        return result;
    }
    std::vector<double> of_channels(int kind, int channels) const {
        std::vector<double> total(channels);
        for (int task = 0; task < tasks; task++) {
            const double *from = &totals[(size_t(task) * kinds + kind) * lanes];
            for (int i = 0; i < lanes; i += channels)
                for (int c = 0; c < channels && i + c < lanes; c++) total[c] += from[i + c];
        }
        return total;
    }
    // Writes one value per channel, `stride` apart.
    void write(int kind, float *to, int channels, int stride = 1) const {
        const auto total = of_channels(kind, channels);
        for (int c = 0; c < channels; c++) to[c * stride] = float(total[c]);
    }
    // Writes the moments of `count` values per channel. Kind 0 is their sum, kind 1 that of
    // squares.
    void write_moments(Moments to, int channels, size_t count) const {
        const auto sums = of_channels(0, channels), squares = of_channels(1, channels);
        for (int c = 0; c < channels; c++) {
            const double mean = sums[c] / count, variance = squares[c] / count - mean * mean;
            to.mean[c] = float(mean);
            to.variance[c] = variance < 0 ? 0 : float(variance);  // rounding may make it negative
        }
    }
};

}  // namespace
