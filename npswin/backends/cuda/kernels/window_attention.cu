// (S)W-MSA from the map of q, k and v to the map of heads' outputs, and its derivative; see npswin/ops/attention.py.
//
// Padding, the cyclic shift and the cut into windows are only the positions at which a window's tokens are read and
// written (`position`). Probabilities are never in memory: the backward pass computes them again.
//
// A block takes a window and a head. k and v of all its tokens lie in shared memory; a warp takes a query at a time, its
// lanes the keys, and its scores lie in a row of shared memory of its own.

#include "common.cuh"
#include "windows.cuh"

extern __shared__ unsigned char shared_bytes[];

// scores[j] ← exp(q·k_j/√d + added − the largest) for a warp's query i; returns 1/Σ. All lanes call it.
__device__ inline Sum exponentials(
    const Geometry& g, const Sum* q, const Sum* k, const Sum* table, int kind, int head, int i,
    const WindowTokens& at, Sum mask_value, Sum* scores
) {
    int lane = threadIdx.x % WARP, tokens = g.window * g.window;
    Sum scale = 1 / sqrt((Sum)g.dim), largest = LOWEST, total = 0;
    for (int j = lane; j < tokens; j += WARP) {
        Sum score = 0;
        for (int c = 0; c < g.dim; c++) score += q[c] * k[j * (g.dim + 1) + c];
        score = score * scale + added(g, table, kind, head, i, j, at, mask_value);
        scores[j] = score;
        largest = score > largest ? score : largest;
    }
    largest = warp_max(largest);
    for (int j = lane; j < tokens; j += WARP) {
        scores[j] = exp(scores[j] - largest);
        total += scores[j];
    }
    total = warp_sum(total);
    __syncwarp();
    return 1 / total;
}

// Grid: windows, heads. Shared: k and v (tokens, dim + 1), and for each warp a query and a row of scores; then
// the tokens' positions.
KERNEL window_attention_forward(
    const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* out, const Geometry* geometry, Sum mask_value
) {
    const Geometry g = *geometry;
    int tokens = g.window * g.window, stride = g.dim + 1, head = blockIdx.y;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    Sum *k = (Sum*)shared_bytes, *v = k + tokens * stride, *queries = v + tokens * stride;
    Sum *q = queries + warp * g.dim, *scores = queries + warps * g.dim + warp * tokens;
    WindowTokens at = window_tokens(queries + warps * (g.dim + tokens), tokens);
    find(at, g, window_of(g, blockIdx.x));
    __syncthreads();
    for (int i = threadIdx.x; i < tokens * g.dim; i += blockDim.x) {
        int t = i / g.dim, c = i % g.dim;
        Index token = at.positions[t];
        k[t * stride + c] = qkv_at(g, qkv, qkv_bias, token, 1, head, c);
        v[t * stride + c] = qkv_at(g, qkv, qkv_bias, token, 2, head, c);
    }
    __syncthreads();
    for (int i = warp; i < tokens; i += warps) {
        Index token = at.positions[i];
        if (token >= (Index)g.images * g.height * g.width) continue;  // what the padding attends to is cropped
        for (int c = lane; c < g.dim; c += WARP) q[c] = qkv_at(g, qkv, qkv_bias, token, 0, head, c);
        __syncwarp();
        Sum inverse = exponentials(g, q, k, table, kind, head, i, at, mask_value, scores);
        for (int c = lane; c < g.dim; c += WARP) {
            Sum total = 0;
            for (int j = 0; j < tokens; j++) total += scores[j] * v[j * stride + c];
            out[(token * g.heads + head) * g.dim + c] = (Scalar)(total * inverse);
        }
        __syncwarp();
    }
}

// Grid: shares of the windows, heads. A block goes through its share and adds up dS in its own dbias (shares, heads, N, N).
//
// dqkv has a row for each token of the map and, after them, of the padding, whose gradient goes to the bias alone. First a
// warp takes a query at a time: dq and dS; then a key at a time: dk and dv, with the probabilities computed once more.
// Shared: q, k, v and do (tokens, dim + 1); for each query its largest score, 1/Σ and Σ p dp; two rows a warp; the
// tokens' places.
KERNEL window_attention_backward(
    const Scalar* dout, const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* dqkv,
    Sum* dbias, const Geometry* geometry, Sum mask_value
) {
    const Geometry g = *geometry;
    int tokens = g.window * g.window, stride = g.dim + 1, head = blockIdx.y, inner_dim = g.heads * g.dim;
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    Sum *q = (Sum*)shared_bytes, *k = q + tokens * stride, *v = k + tokens * stride, *dout_rows = v + tokens * stride;
    Sum *largest = dout_rows + tokens * stride, *inverses = largest + tokens, *dots = inverses + tokens;
    Sum *p = dots + tokens + warp * 2 * tokens, *dp = p + tokens;
    WindowTokens at = window_tokens(dots + tokens + warps * 2 * tokens, tokens);
    Sum scale = 1 / sqrt((Sum)g.dim);
    Index windows = (Index)g.images * g.rows * g.columns, map_tokens = (Index)g.images * g.height * g.width;
    Sum* own_dbias = dbias ? dbias + ((Index)blockIdx.x * g.heads + head) * tokens * tokens : 0;
    if (own_dbias)
        for (int i = threadIdx.x; i < tokens * tokens; i += blockDim.x) own_dbias[i] = 0;
    for (Index number = blockIdx.x; number < windows; number += gridDim.x) {
        __syncthreads();
        find(at, g, window_of(g, number));
        __syncthreads();
        for (int i = threadIdx.x; i < tokens * g.dim; i += blockDim.x) {
            int t = i / g.dim, c = i % g.dim;
            Index token = at.positions[t];
            q[t * stride + c] = qkv_at(g, qkv, qkv_bias, token, 0, head, c);
            k[t * stride + c] = qkv_at(g, qkv, qkv_bias, token, 1, head, c);
            v[t * stride + c] = qkv_at(g, qkv, qkv_bias, token, 2, head, c);
            dout_rows[t * stride + c] = token < map_tokens ? (Sum)dout[token * inner_dim + head * g.dim + c] : (Sum)0;
        }
        __syncthreads();
        for (int i = warp; i < tokens; i += warps) {
            Sum top = LOWEST, total = 0, dot = 0;
            for (int j = lane; j < tokens; j += WARP) {
                Sum score = 0, dprobability = 0;
                for (int c = 0; c < g.dim; c++) {
                    score += q[i * stride + c] * k[j * stride + c];
                    dprobability += dout_rows[i * stride + c] * v[j * stride + c];
                }
                p[j] = score * scale + added(g, table, kind, head, i, j, at, mask_value);
                dp[j] = dprobability;
                top = p[j] > top ? p[j] : top;
            }
            top = warp_max(top);
            for (int j = lane; j < tokens; j += WARP) {
                p[j] = exp(p[j] - top);
                total += p[j];
                dot += p[j] * dp[j];
            }
            Sum inverse = 1 / warp_sum(total);
            dot = warp_sum(dot) * inverse;
            for (int j = lane; j < tokens; j += WARP) {
                Sum dscore = p[j] * inverse * (dp[j] - dot);
                dp[j] = dscore;
                if (own_dbias) own_dbias[i * tokens + j] += dscore;
            }
            if (lane == 0) {
                largest[i] = top;
                inverses[i] = inverse;
                dots[i] = dot;
            }
            __syncwarp();
            Index token = at.positions[i];
            for (int c = lane; c < g.dim; c += WARP) {
                Sum dq = 0;
                for (int j = 0; j < tokens; j++) dq += dp[j] * k[j * stride + c];
                dqkv[token * 3 * inner_dim + head * g.dim + c] = (Scalar)(dq * scale);
            }
            __syncwarp();
        }
        __syncthreads();
        for (int j = warp; j < tokens; j += warps) {
            for (int i = lane; i < tokens; i += WARP) {
                Sum score = 0, dprobability = 0;
                for (int c = 0; c < g.dim; c++) {
                    score += q[i * stride + c] * k[j * stride + c];
                    dprobability += dout_rows[i * stride + c] * v[j * stride + c];
                }
                score = score * scale + added(g, table, kind, head, i, j, at, mask_value);
                p[i] = exp(score - largest[i]) * inverses[i];
                dp[i] = p[i] * (dprobability - dots[i]);
            }
            __syncwarp();
            Index token = at.positions[j];
            for (int c = lane; c < g.dim; c += WARP) {
                Sum dk = 0, dv = 0;
                for (int i = 0; i < tokens; i++) {
                    dk += dp[i] * q[i * stride + c];
                    dv += p[i] * dout_rows[i * stride + c];
                }
                dqkv[token * 3 * inner_dim + inner_dim + head * g.dim + c] = (Scalar)(dk * scale);
                dqkv[token * 3 * inner_dim + 2 * inner_dim + head * g.dim + c] = (Scalar)dv;
            }
            __syncwarp();
        }
    }
}

// dtable: a row of the table is read by all pairs of its relative position; one thread a number of the table.
//
// dbias (heads, N, N) is already summed over the windows.
KERNEL collect_bias(const Sum* dbias, Sum* dtable, int kind, const Geometry* geometry) {
    const Geometry g = *geometry;
    int tokens = g.window * g.window, side = 2 * g.window - 1, columns = kind == 1 ? g.heads : 1;
    int rows = kind == 3 ? tokens * tokens : side * side;
    for (Index place = thread_number(); place < (Index)rows * columns; place += thread_count()) {
        int row = (int)(place / columns), column = (int)(place % columns);
        Sum total = 0;
        for (int head = kind == 1 ? column : 0; head < (kind == 1 ? column + 1 : g.heads); head++) {
            const Sum* dbias_of_head = dbias + (Index)head * tokens * tokens;
            if (kind == 3) {
                total += dbias_of_head[row];
                continue;
            }
            int dy = row / side - (g.window - 1), dx = row % side - (g.window - 1);
            for (int y = dy > 0 ? dy : 0; y < g.window + (dy < 0 ? dy : 0); y++)
                for (int x = dx > 0 ? dx : 0; x < g.window + (dx < 0 ? dx : 0); x++)
                    total += dbias_of_head[(y * g.window + x) * tokens + (y - dy) * g.window + (x - dx)];
        }
        dtable[place] = total;
    }
}
