// LayerNorm over the channels of each token; the mathematics is in npswin/ops/layer_norm.py.
//
// A warp takes a token: its lanes go along the channels side by side, so that the warp reads whole lines of memory. The
// token is read three times, from memory once and then from the first cache.

#include "common.cuh"

// y = (x − μ) rstd · weight + bias; stats (tokens, 2) gets μ and rstd = 1/√(σ² + eps).
KERNEL layer_norm_forward(
    const Scalar* x, const Sum* weight, const Sum* bias, Scalar* y, Sum* stats, Index tokens, int channels, Sum eps
) {
    int lane = threadIdx.x % WARP;
    for (Index token = thread_number() / WARP; token < tokens; token += thread_count() / WARP) {
        const Scalar* row = x + token * channels;
        Sum mean = 0, variance = 0;
        for (int c = lane; c < channels; c += WARP) mean += (Sum)row[c];
        mean = warp_sum(mean) / channels;
        for (int c = lane; c < channels; c += WARP) variance += ((Sum)row[c] - mean) * ((Sum)row[c] - mean);
        Sum rstd = 1 / sqrt(warp_sum(variance) / channels + eps);
        for (int c = lane; c < channels; c += WARP)
            y[token * channels + c] = (Scalar)(((Sum)row[c] - mean) * rstd * weight[c] + bias[c]);
        if (lane == 0) {
            stats[2 * token] = mean;
            stats[2 * token + 1] = rstd;
        }
    }
}

// dx = rstd (g − ⟨g⟩ − x̂ ⟨g x̂⟩) + shortcut, with g = dy · weight; shortcut may be null.
KERNEL layer_norm_backward(
    const Scalar* dy, const Scalar* x, const Sum* weight, const Sum* stats, const Scalar* shortcut, Scalar* dx,
    Index tokens, int channels
) {
    int lane = threadIdx.x % WARP;
    for (Index token = thread_number() / WARP; token < tokens; token += thread_count() / WARP) {
        const Scalar *up = dy + token * channels, *row = x + token * channels;
        Sum mean = stats[2 * token], rstd = stats[2 * token + 1], mean_g = 0, mean_gx = 0;
        for (int c = lane; c < channels; c += WARP) {
            Sum g = (Sum)up[c] * weight[c];
            mean_g += g;
            mean_gx += g * ((Sum)row[c] - mean) * rstd;
        }
        mean_g = warp_sum(mean_g) / channels;
        mean_gx = warp_sum(mean_gx) / channels;
        for (int c = lane; c < channels; c += WARP) {
            Sum xhat = ((Sum)row[c] - mean) * rstd;
            Sum value = rstd * ((Sum)up[c] * weight[c] - mean_g - xhat * mean_gx);
            if (shortcut) value += (Sum)shortcut[token * channels + c];
            dx[token * channels + c] = (Scalar)value;
        }
    }
}

// dweight = Σ dy x̂ and dbias = Σ dy over a block's share of the tokens; block (32, 8), grid (channels / 32, shares).
//
// A column of threads takes every eighth token. sums is (shares, 2, channels), to be added up by sum_rows.
KERNEL layer_norm_parameter_sums(
    const Scalar* dy, const Scalar* x, const Sum* stats, Sum* sums, Index tokens, int channels
) {
    __shared__ Sum room[2][8][WARP];
    int c = blockIdx.x * WARP + threadIdx.x, row = threadIdx.y;
    Index share = (tokens + gridDim.y - 1) / gridDim.y, first = blockIdx.y * share;
    Index stop = first + share < tokens ? first + share : tokens;
    Sum dweight = 0, dbias = 0;
    if (c < channels)
        for (Index token = first + row; token < stop; token += 8) {
            Sum up = (Sum)dy[token * channels + c];
            dbias += up;
            dweight += up * ((Sum)x[token * channels + c] - stats[2 * token]) * stats[2 * token + 1];
        }
    room[0][row][threadIdx.x] = dweight;
    room[1][row][threadIdx.x] = dbias;
    __syncthreads();
    if (row < 2 && c < channels) {
        Sum total = 0;
        for (int other = 0; other < 8; other++) total += room[row][other][threadIdx.x];
        sums[((Index)blockIdx.y * 2 + row) * channels + c] = total;
    }
}
