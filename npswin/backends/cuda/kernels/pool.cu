// The mean over a map.

#include "common.cuh"

// y (images, channels) = the mean of a map (images, places, channels); one thread a number of y.
KERNEL mean_pool_forward(const Scalar* x, Scalar* y, Index size, int places, int channels) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Index image = i / channels;
        Sum total = 0;
        for (int place = 0; place < places; place++) total += (Sum)x[(image * places + place) * channels + i % channels];
        y[i] = (Scalar)(total / places);
    }
}

KERNEL mean_pool_backward(const Scalar* dy, Scalar* dx, Index size, int places, int channels) {
    for (Index i = thread_number(); i < size; i += thread_count())
        dx[i] = (Scalar)((Sum)dy[i / ((Index)places * channels) * channels + i % channels] / places);
}
