// Resampling of maps (images, height, width, channels) that reads one or two pixels along each axis.
//
// Along an axis, output o is Σ_k weight_ok · pixel_ok, with tables (outputs, taps) for the rows and for the columns.

#include "common.cuh"

// One thread a number of y (images, out_height, out_width, channels).
KERNEL resize_forward(
    const Scalar* x, const Index* row_pixel, const Sum* row_weight, const Index* column_pixel, const Sum* column_weight,
    Scalar* y, Index size, int taps, int height, int width, int channels, int out_height, int out_width
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), p = (int)(i / channels % out_width);
        int o = (int)(i / ((Index)channels * out_width) % out_height);
        Index image = i / ((Index)channels * out_width * out_height);
        Sum value = 0;
        for (int l = 0; l < taps; l++) {
            Sum blended = 0;
            for (int k = 0; k < taps; k++) {
                Index row = image * height + row_pixel[o * taps + k];
                blended += row_weight[o * taps + k] * (Sum)x[(row * width + column_pixel[p * taps + l]) * channels + c];
            }
            value += column_weight[p * taps + l] * blended;
        }
        y[i] = (Scalar)value;
    }
}

// The weight with which an output reads a pixel along an axis.
__device__ inline Sum weight_of(const Index* pixel, const Sum* weight, int taps, Index output, int wanted) {
    Sum total = 0;
    for (int k = 0; k < taps; k++)
        if (pixel[output * taps + k] == wanted) total += weight[output * taps + k];
    return total;
}

// The transpose: one thread a number of dx. `readers` (pixels, 2) are the first output that reads a pixel along an
// axis, and the one after the last.
KERNEL resize_backward(
    const Scalar* dy, const Index* row_pixel, const Sum* row_weight, const Index* row_readers,
    const Index* column_pixel, const Sum* column_weight, const Index* column_readers, Scalar* dx, Index size, int taps,
    int height, int width, int channels, int out_height, int out_width
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), column = (int)(i / channels % width);
        int row = (int)(i / ((Index)channels * width) % height);
        Index image = i / ((Index)channels * width * height);
        Sum value = 0;
        for (Index o = row_readers[2 * row]; o < row_readers[2 * row + 1]; o++) {
            Sum summed = 0;
            for (Index p = column_readers[2 * column]; p < column_readers[2 * column + 1]; p++)
                summed += weight_of(column_pixel, column_weight, taps, p, column) *
                          (Sum)dy[((image * out_height + o) * out_width + p) * channels + c];
            value += weight_of(row_pixel, row_weight, taps, o, row) * summed;
        }
        dx[i] = (Scalar)value;
    }
}
