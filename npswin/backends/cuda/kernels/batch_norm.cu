// Batch normalization of pixels (rows, channels); see npswin/ops/batch_norm.py.
//
// Block (32, 8), grid (channels / 32, shares of the rows): a thread keeps a channel, and a column of threads takes
// every eighth row of a share, so that a warp reads whole lines of memory. Sums of shares are added up in an order that
// depends on the sizes alone.

#include "common.cuh"

#define GROUPS 8

// The rows of this block's share that are this thread's: first, first + GROUPS, … below stop.
struct Share {
    Index first, stop;
    __device__ Share(Index rows) {
        Index share = (rows + gridDim.y - 1) / gridDim.y, start = blockIdx.y * share;
        first = start + threadIdx.y;
        stop = start + share < rows ? start + share : rows;
    }
};

__device__ inline int own_channel() { return blockIdx.x * WARP + threadIdx.x; }

// The sum over a column of threads, in all of them.
__device__ inline Sum column_sum(Sum value) {
    __shared__ Sum partial[GROUPS][WARP];
    partial[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    Sum total = 0;
    for (int group = 0; group < GROUPS; group++) total += partial[group][threadIdx.x];
    __syncthreads();
    return total;
}

// moments (shares, 2, channels): the mean and Σ (x − mean)² of each share, which is read twice, then from a cache.
KERNEL batch_norm_moments(const Scalar* x, Sum* moments, Index rows, int channels) {
    Share share(rows);
    int c = own_channel();
    Sum total = 0, squares = 0;
    if (c < channels)
        for (Index row = share.first; row < share.stop; row += GROUPS) total += (Sum)x[row * channels + c];
    Index count = share.stop - (share.first - threadIdx.y);
    Sum mean = column_sum(total) / (count > 0 ? count : 1);
    if (c < channels)
        for (Index row = share.first; row < share.stop; row += GROUPS) {
            Sum centred = (Sum)x[row * channels + c] - mean;
            squares += centred * centred;
        }
    squares = column_sum(squares);
    if (threadIdx.y == 0 && c < channels) {
        moments[(Index)blockIdx.y * 2 * channels + c] = mean;
        moments[((Index)blockIdx.y * 2 + 1) * channels + c] = squares;
    }
}

// out (2, channels): mean and variance of all rows, from the moments of their shares; one thread a channel.
KERNEL batch_norm_merge_moments(const Sum* moments, Sum* out, Index rows, int shares, int channels) {
    Index share = (rows + shares - 1) / shares;
    for (Index c = thread_number(); c < channels; c += thread_count()) {
        Sum mean = 0, squares = 0, before = 0;
        for (Index first = 0, number = 0; first < rows; first += share, number++) {
            Sum count = (Sum)(first + share < rows ? share : rows - first);
            Sum difference = moments[number * 2 * channels + c] - mean;
            mean += count / (before + count) * difference;
            squares += moments[(number * 2 + 1) * channels + c];
            squares += before * count / (before + count) * difference * difference;
            before += count;
        }
        out[c] = mean;
        out[channels + c] = rows ? squares / (Sum)rows : 0;
    }
}

// y = (x − mean) rstd · weight + bias.
KERNEL batch_norm_forward(
    const Scalar* x, const Sum* weight, const Sum* bias, const Sum* mean, const Sum* variance, Scalar* y, Index rows,
    int channels, Sum eps
) {
    Share share(rows);
    int c = own_channel();
    if (c >= channels) return;
    Sum scale = weight[c] / sqrt(variance[c] + eps), own_mean = mean[c], own_bias = bias[c];
    for (Index row = share.first; row < share.stop; row += GROUPS)
        y[row * channels + c] = (Scalar)(((Sum)x[row * channels + c] - own_mean) * scale + own_bias);
}

// sums (shares, 2, channels): Σ dy and Σ dy x̂ of each share, to be added up by add_partial_sums.
KERNEL batch_norm_backward_sums(
    const Scalar* dy, const Scalar* x, const Sum* mean, const Sum* variance, Sum* sums, Index rows, int channels,
    Sum eps
) {
    Share share(rows);
    int c = own_channel();
    Sum dy_sum = 0, product_sum = 0, own_mean = c < channels ? mean[c] : 0;
    if (c < channels)
        for (Index row = share.first; row < share.stop; row += GROUPS) {
            Sum dvalue = (Sum)dy[row * channels + c];
            dy_sum += dvalue;
            product_sum += dvalue * ((Sum)x[row * channels + c] - own_mean);
        }
    dy_sum = column_sum(dy_sum);
    product_sum = column_sum(product_sum);
    if (threadIdx.y == 0 && c < channels) {
        sums[(Index)blockIdx.y * 2 * channels + c] = dy_sum;
        sums[((Index)blockIdx.y * 2 + 1) * channels + c] = product_sum / sqrt(variance[c] + eps);
    }
}

// dx = weight · rstd · (dy − ⟨dy⟩ − x̂ ⟨dy x̂⟩); without these means dx = weight · rstd · dy.
KERNEL batch_norm_backward_input(
    const Scalar* dy, const Scalar* x, const Sum* weight, const Sum* mean, const Sum* variance, const Sum* dy_mean,
    const Sum* dy_xhat_mean, Scalar* dx, Index rows, int channels, Sum eps
) {
    Share share(rows);
    int c = own_channel();
    if (c >= channels) return;
    Sum rstd = 1 / sqrt(variance[c] + eps), scale = weight[c] * rstd, own_mean = mean[c];
    Sum shift = dy_mean ? dy_mean[c] : 0, slope = dy_mean ? dy_xhat_mean[c] * rstd : 0;
    for (Index row = share.first; row < share.stop; row += GROUPS) {
        Sum value = (Sum)dy[row * channels + c];
        if (dy_mean) value -= shift + ((Sum)x[row * channels + c] - own_mean) * slope;
        dx[row * channels + c] = (Scalar)(value * scale);
    }
}
