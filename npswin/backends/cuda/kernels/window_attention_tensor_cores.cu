// (S)W-MSA as in window_attention.cu on tensor cores (from sm_80 on): for numbers of 16 bits, and for TF32.
//
// A block takes a window and a head, its warps 16 queries each: scores and probabilities never leave the registers. Tokens
// and channels are filled up with zeros to TOKENS and DIMS, and kernels are compiled for a few of these. Loops over tiles
// are unrolled: registers have no index.

#include "common.cuh"
#include "windows.cuh"

#ifndef SCALAR_DOUBLE
#include "mma.cuh"

extern __shared__ unsigned char shared_bytes[];

// Rows of DIMS channels, or of TOKENS tokens where they are transposed; 8 more keep lanes out of each other's banks.
template <int TOKENS, int DIMS>
struct SharedMemory {
    static const int ROWS = TOKENS * (DIMS + 8), TRANSPOSED = DIMS * (TOKENS + 8);
    Scalar* next;
    __device__ SharedMemory() : next((Scalar*)shared_bytes) {}
    __device__ Matrix rows() { return take(ROWS, DIMS + 8); }
    __device__ Matrix transposed() { return take(TRANSPOSED, TOKENS + 8); }
    __device__ Matrix take(int size, int stride) {
        Matrix matrix = {next, stride};
        next += size;
        return matrix;
    }
};

// The score of query i and key j from their product; so low that its exponential is 0 where there is no such pair.
__device__ inline float score_of(
    const Geometry& g, const Sum* table, int kind, int head, int i, int j, const WindowTokens& at, Sum mask_value,
    float product
) {
    int tokens = g.window * g.window;
    if (i >= tokens || j >= tokens) return LOWEST;
    return product * rsqrtf((float)g.dim) + added(g, table, kind, head, i, j, at, mask_value);
}

template <int TOKENS, int DIMS>
__device__ inline void attend(
    const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* out, const Geometry& g, Sum mask_value
) {
    SharedMemory<TOKENS, DIMS> memory;
    Matrix q = memory.rows(), k = memory.rows(), v_transposed = memory.transposed();
    int tokens = g.window * g.window, head = blockIdx.y;
    WindowTokens at = window_tokens(memory.next, TOKENS);
    find(at, g, window_of(g, blockIdx.x));
    __syncthreads();
    for (int i = threadIdx.x; i < TOKENS * DIMS; i += blockDim.x) {
        int t = i / DIMS, c = i % DIMS;
        bool is_there = t < tokens && c < g.dim;
        Index token = is_there ? at.positions[t] : 0;
        q.numbers[t * q.stride + c] = (Scalar)(is_there ? qkv_at(g, qkv, qkv_bias, token, 0, head, c) : 0.0f);
        k.numbers[t * k.stride + c] = (Scalar)(is_there ? qkv_at(g, qkv, qkv_bias, token, 1, head, c) : 0.0f);
        v_transposed.numbers[c * v_transposed.stride + t] =
            (Scalar)(is_there ? qkv_at(g, qkv, qkv_bias, token, 2, head, c) : 0.0f);
    }
    __syncthreads();
    int first = threadIdx.x / WARP * 16, row = first + group_of_lane(), column = pair_of_lane();
    float p[TOKENS / 8][4] = {}, largest[2] = {LOWEST, LOWEST}, total[2] = {0, 0};
#pragma unroll
    for (int tile = 0; tile < TOKENS / 8; tile++) {
        multiply_rows<DIMS>(p[tile], q, first, k, 8 * tile);
        for (int e = 0; e < 4; e++) {
            int i = row + e / 2 * 8, j = 8 * tile + column + e % 2;
            p[tile][e] = score_of(g, table, kind, head, i, j, at, mask_value, p[tile][e]);
            largest[e / 2] = fmaxf(largest[e / 2], p[tile][e]);
        }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) largest[half] = row_max(largest[half]);
#pragma unroll
    for (int tile = 0; tile < TOKENS / 8; tile++)
        for (int e = 0; e < 4; e++) {
            p[tile][e] = expf(p[tile][e] - largest[e / 2]);
            total[e / 2] += p[tile][e];
        }
#pragma unroll
    for (int half = 0; half < 2; half++) total[half] = row_sum(total[half]);
#pragma unroll
    for (int tile = 0; tile < DIMS / 8; tile++) {
        float o[4] = {};
        multiply_results(o, p, v_transposed, 8 * tile);
        for (int e = 0; e < 4; e++) {
            int i = row + e / 2 * 8, c = 8 * tile + column + e % 2;
            if (i >= tokens || c >= g.dim) continue;
            Index token = at.positions[i];
            if (token < (Index)g.images * g.height * g.width)
                out[(token * g.heads + head) * g.dim + c] = (Scalar)(o[e] / total[e / 2]);
        }
    }
}

template <int TOKENS, int DIMS>
__device__ inline void attend_backward(
    const Scalar* dout, const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* dqkv, Sum* dbias,
    const Geometry& g, Sum mask_value
) {
    SharedMemory<TOKENS, DIMS> memory;
    Matrix q = memory.rows(), k = memory.rows(), v = memory.rows(), dout_rows = memory.rows();
    Matrix q_transposed = memory.transposed(), k_transposed = memory.transposed(), dout_transposed = memory.transposed();
    float *largest = (float*)memory.next, *inverses = largest + TOKENS, *dots = inverses + TOKENS;
    int tokens = g.window * g.window, head = blockIdx.y, inner_dim = g.heads * g.dim;
    WindowTokens at = window_tokens(dots + TOKENS, TOKENS);
    int first = threadIdx.x / WARP * 16, row = first + group_of_lane(), column = pair_of_lane();
    float scale = rsqrtf((float)g.dim);
    Index windows = (Index)g.images * g.rows * g.columns, map_tokens = (Index)g.images * g.height * g.width;
    Sum* own_dbias = dbias ? dbias + ((Index)blockIdx.x * g.heads + head) * tokens * tokens : 0;
    if (own_dbias)
        for (int i = threadIdx.x; i < tokens * tokens; i += blockDim.x) own_dbias[i] = 0;
    for (Index number = blockIdx.x; number < windows; number += gridDim.x) {
        __syncthreads();
        find(at, g, window_of(g, number));
        __syncthreads();
        for (int i = threadIdx.x; i < TOKENS * DIMS; i += blockDim.x) {
            int t = i / DIMS, c = i % DIMS;
            bool is_there = t < tokens && c < g.dim;
            Index token = is_there ? at.positions[t] : 0;
            Scalar numbers[4];
            for (int part = 0; part < 3; part++)
                numbers[part] = (Scalar)(is_there ? qkv_at(g, qkv, qkv_bias, token, part, head, c) : 0.0f);
            numbers[3] = is_there && token < map_tokens ? dout[token * inner_dim + head * g.dim + c] : (Scalar)0.0f;
            q.numbers[t * q.stride + c] = q_transposed.numbers[c * q_transposed.stride + t] = numbers[0];
            k.numbers[t * k.stride + c] = k_transposed.numbers[c * k_transposed.stride + t] = numbers[1];
            v.numbers[t * v.stride + c] = numbers[2];
            dout_rows.numbers[t * dout_rows.stride + c] = dout_transposed.numbers[c * dout_transposed.stride + t] = numbers[3];
            }
        __syncthreads();

        // By queries: dS, and dq = dS k / √d.
        float p[TOKENS / 8][4] = {}, ds[TOKENS / 8][4] = {}, top[2] = {LOWEST, LOWEST}, total[2] = {0, 0}, dot[2] = {0, 0};
#pragma unroll
        for (int tile = 0; tile < TOKENS / 8; tile++) {
            multiply_rows<DIMS>(p[tile], q, first, k, 8 * tile);
            multiply_rows<DIMS>(ds[tile], dout_rows, first, v, 8 * tile);
            for (int e = 0; e < 4; e++) {
                int i = row + e / 2 * 8, j = 8 * tile + column + e % 2;
                p[tile][e] = score_of(g, table, kind, head, i, j, at, mask_value, p[tile][e]);
                top[e / 2] = fmaxf(top[e / 2], p[tile][e]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) top[half] = row_max(top[half]);
#pragma unroll
        for (int tile = 0; tile < TOKENS / 8; tile++)
            for (int e = 0; e < 4; e++) {
                p[tile][e] = expf(p[tile][e] - top[e / 2]);
                total[e / 2] += p[tile][e];
                dot[e / 2] += p[tile][e] * ds[tile][e];
            }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            total[half] = 1 / row_sum(total[half]);
            dot[half] = row_sum(dot[half]) * total[half];
            if (column == 0) {
                largest[row + 8 * half] = top[half];
                inverses[row + 8 * half] = total[half];
                dots[row + 8 * half] = dot[half];
            }
        }
#pragma unroll
        for (int tile = 0; tile < TOKENS / 8; tile++)
            for (int e = 0; e < 4; e++) {
                int i = row + e / 2 * 8, j = 8 * tile + column + e % 2;
                ds[tile][e] = p[tile][e] * total[e / 2] * (ds[tile][e] - dot[e / 2]);
                if (own_dbias && i < tokens && j < tokens) own_dbias[i * tokens + j] += ds[tile][e];
            }
#pragma unroll
        for (int tile = 0; tile < DIMS / 8; tile++) {
            float dq[4] = {};
            multiply_results(dq, ds, k_transposed, 8 * tile);
            for (int e = 0; e < 4; e++) {
                int i = row + e / 2 * 8, c = 8 * tile + column + e % 2;
                if (i >= tokens || c >= g.dim) continue;
                Index token = at.positions[i];
                dqkv[token * 3 * inner_dim + head * g.dim + c] = (Scalar)(dq[e] * scale);
            }
        }
        __syncthreads();

        // By keys: dv = Pᵀ do and dk = dSᵀ q / √d, from the same products the other way round.
#pragma unroll
        for (int tile = 0; tile < TOKENS / 8; tile++) {
            for (int e = 0; e < 4; e++) p[tile][e] = ds[tile][e] = 0;
            multiply_rows<DIMS>(p[tile], k, first, q, 8 * tile);
            multiply_rows<DIMS>(ds[tile], v, first, dout_rows, 8 * tile);
            for (int e = 0; e < 4; e++) {
                int j = row + e / 2 * 8, i = 8 * tile + column + e % 2;
                bool is_there = i < tokens && j < tokens;
                float score = score_of(g, table, kind, head, i, j, at, mask_value, p[tile][e]);
                p[tile][e] = is_there ? expf(score - largest[i]) * inverses[i] : 0.0f;
                ds[tile][e] = p[tile][e] * (ds[tile][e] - dots[i]);
            }
        }
#pragma unroll
        for (int tile = 0; tile < DIMS / 8; tile++) {
            float dk[4] = {}, dv[4] = {};
            multiply_results(dk, ds, q_transposed, 8 * tile);
            multiply_results(dv, p, dout_transposed, 8 * tile);
            for (int e = 0; e < 4; e++) {
                int j = row + e / 2 * 8, c = 8 * tile + column + e % 2;
                if (j >= tokens || c >= g.dim) continue;
                Index token = at.positions[j];
                dqkv[(token * 3 + 1) * inner_dim + head * g.dim + c] = (Scalar)(dk[e] * scale);
                dqkv[(token * 3 + 2) * inner_dim + head * g.dim + c] = (Scalar)dv[e];
            }
        }
    }
}

// Windows of up to 16, 64 or 144 tokens, heads of up to 32 channels; 2 threads a token, for which there must be registers.
#undef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(288, 1)

KERNEL attention_forward_16(
    const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* out, const Geometry* geometry, Sum mask_value
) {
    attend<16, 32>(qkv, qkv_bias, table, kind, out, *geometry, mask_value);
}

KERNEL attention_forward_64(
    const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* out, const Geometry* geometry, Sum mask_value
) {
    attend<64, 32>(qkv, qkv_bias, table, kind, out, *geometry, mask_value);
}

KERNEL attention_forward_144(
    const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* out, const Geometry* geometry, Sum mask_value
) {
    attend<144, 32>(qkv, qkv_bias, table, kind, out, *geometry, mask_value);
}

KERNEL attention_backward_16(
    const Scalar* dout, const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* dqkv, Sum* dbias,
    const Geometry* geometry, Sum mask_value
) {
    attend_backward<16, 32>(dout, qkv, qkv_bias, table, kind, dqkv, dbias, *geometry, mask_value);
}

KERNEL attention_backward_64(
    const Scalar* dout, const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* dqkv, Sum* dbias,
    const Geometry* geometry, Sum mask_value
) {
    attend_backward<64, 32>(dout, qkv, qkv_bias, table, kind, dqkv, dbias, *geometry, mask_value);
}

KERNEL attention_backward_144(
    const Scalar* dout, const Scalar* qkv, const Sum* qkv_bias, const Sum* table, int kind, Scalar* dqkv, Sum* dbias,
    const Geometry* geometry, Sum mask_value
) {
    attend_backward<144, 32>(dout, qkv, qkv_bias, table, kind, dqkv, dbias, *geometry, mask_value);
}
#endif
