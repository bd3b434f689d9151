// The mean over a map.

#include "common.cuh"

// y (images, channels) = the mean of a map (images, tokens, channels); one thread a number of y.
KERNEL mean_pool_forward(const Scalar* x, Scalar* y, Index size, int tokens, int channels) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Index image = i / channels;
        Sum total = 0;
        for (int token = 0; token < tokens; token++) total += (Sum)x[(image * tokens + token) * channels + i % channels];
        y[i] = (Scalar)(total / tokens);
    }
}

KERNEL mean_pool_backward(const Scalar* dy, Scalar* dx, Index size, int tokens, int channels) {
    for (Index i = thread_number(); i < size; i += thread_count())
        dx[i] = (Scalar)((Sum)dy[i / ((Index)tokens * channels) * channels + i % channels] / tokens);
}
