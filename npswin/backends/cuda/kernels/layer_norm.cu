// LayerNorm over the channels of each token, or of each 2×2 group of tokens; see npswin/ops/layer_norm.py.
//
// A warp takes a row: its lanes go along the channels side by side, so that the warp reads whole lines of memory. The row
// is read three times, from memory once and then from the L1 cache.

#include "common.cuh"
#include "rows.cuh"

// y = (x − μ) rstd · weight + bias; stats (rows, 2) gets μ and rstd = 1/√(σ² + eps).
template <class Rows>
__device__ inline void normalize(
    const Rows& rows, const Scalar* x, const Sum* weight, const Sum* bias, Scalar* y, Sum* stats, Index count,
    int channels, Sum eps
) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < count; row += thread_count() / WARP) {
        Sum mean = 0, variance = 0;
        for (int c = lane; c < channels; c += WARP) mean += read(rows, x, row, c);
        mean = warp_sum(mean) / channels;
        for (int c = lane; c < channels; c += WARP) {
            Sum centred = read(rows, x, row, c) - mean;
            variance += centred * centred;
        }
        Sum rstd = 1 / sqrt(warp_sum(variance) / channels + eps);
        for (int c = lane; c < channels; c += WARP)
            y[row * channels + c] = (Scalar)((read(rows, x, row, c) - mean) * rstd * weight[c] + bias[c]);
        if (lane == 0) {
            stats[2 * row] = mean;
            stats[2 * row + 1] = rstd;
        }
    }
}

// dx = rstd (g − ⟨g⟩ − x̂ ⟨g x̂⟩) + shortcut, with g = dy · weight; shortcut, which lies as dx does, may be null.
template <class Rows>
__device__ inline void normalize_backward(
    const Rows& rows, const Scalar* dy, const Scalar* x, const Sum* weight, const Sum* stats, const Scalar* shortcut,
    Scalar* dx, Index count, int channels
) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < count; row += thread_count() / WARP) {
        const Scalar* dtoken = dy + row * channels;
        Sum mean = stats[2 * row], rstd = stats[2 * row + 1], mean_g = 0, mean_gx = 0;
        for (int c = lane; c < channels; c += WARP) {
            Sum g = (Sum)dtoken[c] * weight[c];
            mean_g += g;
            mean_gx += g * (read(rows, x, row, c) - mean) * rstd;
        }
        mean_g = warp_sum(mean_g) / channels;
        mean_gx = warp_sum(mean_gx) / channels;
        for (int c = lane; c < channels; c += WARP) {
            if (rows.is_padding(row, c)) continue;
            Index offset = rows.offset(row, c);
            Sum xhat = ((Sum)x[offset] - mean) * rstd;
            Sum value = rstd * ((Sum)dtoken[c] * weight[c] - mean_g - xhat * mean_gx);
            if (shortcut) value += (Sum)shortcut[offset];
            dx[offset] = (Scalar)value;
        }
    }
}

// dweight = Σ dy x̂ and dbias = Σ dy over a block's share of the rows; block (32, 8), grid (channels / 32, shares).
//
// A column of threads takes every eighth row. sums is (shares, 2, channels), to be added up by add_partial_sums.
template <class Rows>
__device__ inline void parameter_sums(
    const Rows& rows, const Scalar* dy, const Scalar* x, const Sum* stats, Sum* sums, Index count, int channels
) {
    __shared__ Sum partial[2][8][WARP];
    int c = blockIdx.x * WARP + threadIdx.x, group = threadIdx.y;
    Index share = (count + gridDim.y - 1) / gridDim.y, first = blockIdx.y * share;
    Index stop = first + share < count ? first + share : count;
    Sum dweight = 0, dbias = 0;
    if (c < channels)
        for (Index row = first + group; row < stop; row += 8) {
            Sum dvalue = (Sum)dy[row * channels + c];
            dbias += dvalue;
            dweight += dvalue * (read(rows, x, row, c) - stats[2 * row]) * stats[2 * row + 1];
        }
    partial[0][group][threadIdx.x] = dweight;
    partial[1][group][threadIdx.x] = dbias;
    __syncthreads();
    if (group < 2 && c < channels) {
        Sum total = 0;
        for (int thread = 0; thread < 8; thread++) total += partial[group][thread][threadIdx.x];
        sums[((Index)blockIdx.y * 2 + group) * channels + c] = total;
    }
}

KERNEL layer_norm_forward(
    const Scalar* x, const Sum* weight, const Sum* bias, Scalar* y, Sum* stats, Index tokens, int channels, Sum eps
) {
    normalize(Tokens{channels}, x, weight, bias, y, stats, tokens, channels, eps);
}

KERNEL layer_norm_backward(
    const Scalar* dy, const Scalar* x, const Sum* weight, const Sum* stats, const Scalar* shortcut, Scalar* dx,
    Index tokens, int channels
) {
    normalize_backward(Tokens{channels}, dy, x, weight, stats, shortcut, dx, tokens, channels);
}

KERNEL layer_norm_parameter_sums(
    const Scalar* dy, const Scalar* x, const Sum* stats, Sum* sums, Index tokens, int channels
) {
    parameter_sums(Tokens{channels}, dy, x, stats, sums, tokens, channels);
}

// The same of 2×2 groups of tokens of a map (images, height, width, channels).
KERNEL merging_norm_forward(
    const Scalar* x, const Sum* weight, const Sum* bias, Scalar* y, Sum* stats, Index groups, int height, int width,
    int channels, Sum eps
) {
    normalize(Groups{height, width, channels}, x, weight, bias, y, stats, groups, 4 * channels, eps);
}

KERNEL merging_norm_backward(
    const Scalar* dy, const Scalar* x, const Sum* weight, const Sum* stats, Scalar* dx, Index groups, int height,
    int width, int channels
) {
    normalize_backward(Groups{height, width, channels}, dy, x, weight, stats, 0, dx, groups, 4 * channels);
}

KERNEL merging_norm_parameter_sums(
    const Scalar* dy, const Scalar* x, const Sum* stats, Sum* sums, Index groups, int height, int width, int channels
) {
    parameter_sums(Groups{height, width, channels}, dy, x, stats, sums, groups, 4 * channels);
}
