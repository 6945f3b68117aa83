// Work shared out among threads, and sums over pixels.

#pragma once

#include <omp.h>

#include "vectors.h"

namespace {

// Parts of some work as tasks, each a run of parts. Threads take the next task when they are done with one,
// for processors are not equally fast, nor alone with us.
struct Tasks {
    const long parts, count;

    // The fewest that keep all threads busy, and that they share well; the same for up to four threads.
    static int fewest(int threads) { return std::max(4, threads); }
    static int enough(int threads) { return 4 * fewest(threads); }

    Tasks(int threads, long parts) : Tasks(threads, parts, enough(threads)) {}
    // Where tasks are dear, `most` of them.
    Tasks(int threads, long parts, size_t most)
        : parts(parts),
          count(std::min<long>(parts, std::max<long>(fewest(threads), std::min<long>(most, enough(threads))))) {}

    long begin(int task) const { return parts * task / count; }
    long end(int task) const { return begin(task + 1); }
};

// Of each channel.
struct Moments {
    float *mean, *variance;
};

// Sums for each task, added up in the order of tasks: the same in every run, whoever did them. What one
// image or a few pixels give is float, the rest double.
struct Sums {
    int tasks, kinds, lanes;
    std::vector<double> totals;
    Aligned<float> open;  // of each thread

    Sums(int threads, int kinds, int lanes)
        : tasks(Tasks::enough(threads)), kinds(kinds), lanes(lanes), totals(size_t(tasks) * kinds * lanes),
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
    // Adds the thread's open sums to the totals of a task.
    void settle(int task) {
        for (int kind = 0; kind < kinds; kind++) {
            double *to = &totals[(size_t(task) * kinds + kind) * lanes];
            float *from = mine().of(kind);
            for (int i = 0; i < lanes; i++) to[i] += from[i], from[i] = 0;
        }
    }
    // All tasks' totals: kinds × lanes.
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
