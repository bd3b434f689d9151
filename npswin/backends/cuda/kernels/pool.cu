// Pooling: the mean over a map, the means of bins, the largest pixel of windows.

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

// Where a bin along an axis begins and ends; with the sizes exchanged, which bins a pixel lies in.
__device__ inline int bin_start(int o, int size_out, int size_in) { return (int)((Index)o * size_in / size_out); }
__device__ inline int bin_stop(int o, int size_out, int size_in) {
    return (int)(((Index)(o + 1) * size_in + size_out - 1) / size_out);
}

// y (images, out_height, out_width, channels) = the mean of each bin of a map; one thread a number of y.
KERNEL adaptive_avg_pool2d_forward(
    const Scalar* x, Scalar* y, Index size, int height, int width, int channels, int out_height, int out_width
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), p = (int)(i / channels % out_width);
        int o = (int)(i / ((Index)channels * out_width) % out_height);
        Index image = i / ((Index)channels * out_width * out_height);
        int top = bin_start(o, out_height, height), bottom = bin_stop(o, out_height, height);
        int left = bin_start(p, out_width, width), right = bin_stop(p, out_width, width);
        Sum total = 0;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++)
                total += (Sum)x[((image * height + row) * width + column) * channels + c];
        y[i] = (Scalar)(total / ((bottom - top) * (right - left)));
    }
}

// dx = Σ dy / area over the bins that a pixel lies in; one thread a number of dx.
KERNEL adaptive_avg_pool2d_backward(
    const Scalar* dy, Scalar* dx, Index size, int height, int width, int channels, int out_height, int out_width
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), column = (int)(i / channels % width);
        int row = (int)(i / ((Index)channels * width) % height);
        Index image = i / ((Index)channels * width * height);
        Sum value = 0;
        for (int o = bin_start(row, height, out_height); o < bin_stop(row, height, out_height); o++)
            for (int p = bin_start(column, width, out_width); p < bin_stop(column, width, out_width); p++) {
                int down = bin_stop(o, out_height, height) - bin_start(o, out_height, height);
                int across = bin_stop(p, out_width, width) - bin_start(p, out_width, width);
                value += (Sum)dy[((image * out_height + o) * out_width + p) * channels + c] / (down * across);
            }
        dx[i] = (Scalar)value;
    }
}

// y = the largest of each window's pixels, and which one it is: the first of equal ones; one thread a number of y.
KERNEL max_pool2d_forward(
    const Scalar* x, Scalar* y, int* largest_pixel, Index size, int height, int width, int channels, int out_height,
    int out_width, int kernel_size, int stride, int padding
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), p = (int)(i / channels % out_width);
        int o = (int)(i / ((Index)channels * out_width) % out_height);
        Index image = i / ((Index)channels * out_width * out_height);
        int top = o * stride - padding, left = p * stride - padding, found = -1;
        Sum best = 0;
        for (int row = top < 0 ? 0 : top; row < top + kernel_size && row < height; row++)
            for (int column = left < 0 ? 0 : left; column < left + kernel_size && column < width; column++) {
                Sum value = (Sum)x[((image * height + row) * width + column) * channels + c];
                // `not <=` holds for NaN as well, which is larger than what came before it
                if (found < 0 || (!(value <= best) && best == best)) {
                    best = value;
                    found = row * width + column;
                }
            }
        y[i] = (Scalar)best;
        largest_pixel[i] = found;
    }
}

// dx = Σ dy over the windows whose maximum a pixel is; one thread a number of dx.
KERNEL max_pool2d_backward(
    const Scalar* dy, const int* largest_pixel, Scalar* dx, Index size, int height, int width, int channels,
    int out_height, int out_width, int kernel_size, int stride, int padding
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), column = (int)(i / channels % width);
        int row = (int)(i / ((Index)channels * width) % height);
        Index image = i / ((Index)channels * width * height);
        // windows o with o · stride − padding ≤ row < o · stride − padding + kernel_size
        int above = row + padding - kernel_size, before = column + padding - kernel_size;
        Sum value = 0;
        for (int o = above < 0 ? 0 : above / stride + 1; o < out_height && o * stride - padding <= row; o++)
            for (int p = before < 0 ? 0 : before / stride + 1; p < out_width && p * stride - padding <= column; p++) {
                Index place = ((image * out_height + o) * out_width + p) * channels + c;
                if (largest_pixel[place] == row * width + column) value += (Sum)dy[place];
            }
        dx[i] = (Scalar)value;
    }
}
