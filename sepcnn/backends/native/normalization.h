// Scale and offset of a normalization from the moments of a batch and its weights; a missing weight
// is 1, a missing bias 0.

#pragma once

#include <cmath>

namespace {

void normalization_coefficients(const float *mean, const float *variance, const float *weight,
                                const float *bias, float epsilon, int channels, float *scale,
                                float *offset) {
    for (int c = 0; c < channels; c++) {
        scale[c] = (weight ? weight[c] : 1) / std::sqrt(variance[c] + epsilon);
        offset[c] = (bias ? bias[c] : 0) - mean[c] * scale[c];
    }
}

// The gradient of the bias equals the gradient of the offset, so it is not written.
void normalization_coefficients_backward(const float *scale_gradient, const float *offset_gradient,
                                         const float *mean, const float *variance,
                                         const float *weight, float epsilon, int channels,
                                         float *mean_gradient, float *variance_gradient,
                                         float *weight_gradient) {
    for (int c = 0; c < channels; c++) {
        const float inverse = 1 / std::sqrt(variance[c] + epsilon);
        const float scale = (weight ? weight[c] : 1) * inverse;
        const float through = scale_gradient[c] - offset_gradient[c] * mean[c];
        mean_gradient[c] = -offset_gradient[c] * scale;
        variance_gradient[c] = -0.5f * through * scale * inverse * inverse;
        if (weight_gradient) weight_gradient[c] = through * inverse;
    }
}

}  // namespace
