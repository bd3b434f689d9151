#include "attention.h"

// q, k, v (G, h, N, d) each, from qkv (G, N, 3 h d), whose columns are ordered (q|k|v, head, channel)
void split_heads_forward(real *q, real *k, real *v, const real *qkv, size_t G, size_t N, size_t h, size_t d) {
    for (size_t g = 0; g < G; g++)
        for (size_t head = 0; head < h; head++)
            for (size_t n = 0; n < N; n++)
                for (size_t c = 0; c < d; c++) {
                    size_t to = ((g * h + head) * N + n) * d + c, from = (g * N + n) * 3 * h * d + head * d + c;
                    q[to] = qkv[from];
                    k[to] = qkv[from + h * d];
                    v[to] = qkv[from + 2 * h * d];
                }
}

void split_heads_backward(const real *dq, const real *dk, const real *dv, real *dqkv, size_t G, size_t N, size_t h,
                          size_t d) {
    for (size_t g = 0; g < G; g++)
        for (size_t head = 0; head < h; head++)
            for (size_t n = 0; n < N; n++)
                for (size_t c = 0; c < d; c++) {
                    size_t to = ((g * h + head) * N + n) * d + c, from = (g * N + n) * 3 * h * d + head * d + c;
                    dqkv[from] += dq[to];
                    dqkv[from + h * d] += dk[to];
                    dqkv[from + 2 * h * d] += dv[to];
                }
}

// y (n) = factor x; x (n)
void scale_forward(real *y, const real *x, real factor, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = factor * x[i];
}

void scale_backward(const real *dy, real *dx, real factor, size_t n) {
    for (size_t i = 0; i < n; i++) dx[i] += factor * dy[i];
}

// scores (Gh, N, N) = q k^T: a row for each query, a column for each key; q (Gh, N, d), scaled, and k (Gh, N, d)
void scores_forward(real *scores, const real *q, const real *k, size_t Gh, size_t N, size_t d) {
    for (size_t g = 0; g < Gh; g++, q += N * d, k += N * d)
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) {
                real sum = 0;
                for (size_t c = 0; c < d; c++) sum += q[i * d + c] * k[j * d + c];
                *scores++ = sum;
            }
}

void scores_backward(const real *dscores, real *dq, real *dk, const real *q, const real *k, size_t Gh, size_t N,
                     size_t d) {
    for (size_t g = 0; g < Gh; g++, q += N * d, k += N * d, dq += N * d, dk += N * d)
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++, dscores++)
                for (size_t c = 0; c < d; c++) {
                    dq[i * d + c] += *dscores * k[j * d + c];
                    dk[j * d + c] += *dscores * q[i * d + c];
                }
}

// The table's row for a query and a key: (dy + M - 1) (2M - 1) + dx + M - 1, where (dy, dx) is the query's place in the
// window less the key's. The key is subtracted last, since a size_t cannot be negative on the way.
static size_t table_row(size_t query, size_t key, size_t M) {
    size_t down = query / M + (M - 1) - key / M, right = query % M + (M - 1) - key % M;
    return down * (2 * M - 1) + right;
}

// bias (h, N, N) out of table ((2M - 1)^2, h)
void position_bias_forward(real *bias, const real *table, size_t h, size_t M) {
    size_t N = M * M;
    for (size_t head = 0; head < h; head++)
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) *bias++ = table[table_row(i, j, M) * h + head];
}

// Every pair at the same relative position has read the same row: their gradients add up in it.
void position_bias_backward(const real *dbias, real *dtable, size_t h, size_t M) {
    size_t N = M * M;
    for (size_t head = 0; head < h; head++)
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) dtable[table_row(i, j, M) * h + head] += *dbias++;
}

// y (G, h, N, N) = scores + bias, the same for all windows; scores (G, h, N, N), bias (h, N, N)
void add_bias_forward(real *y, const real *scores, const real *bias, size_t G, size_t h, size_t N) {
    for (size_t g = 0; g < G; g++)
        for (size_t i = 0; i < h * N * N; i++) *y++ = *scores++ + bias[i];
}

void add_bias_backward(const real *dy, real *dscores, real *dbias, size_t G, size_t h, size_t N) {
    for (size_t g = 0; g < G; g++)
        for (size_t i = 0; i < h * N * N; i++, dy++) {
            *dscores++ += *dy;
            dbias[i] += *dy;
        }
}

// y (B, nW, h, N, N) = scores + mask, the same for all images and heads; scores (B, nW, h, N, N), mask (nW, N, N)
void add_mask_forward(real *y, const real *scores, const real *mask, size_t B, size_t nW, size_t h, size_t N) {
    for (size_t b = 0; b < B; b++)
        for (size_t w = 0; w < nW; w++)
            for (size_t head = 0; head < h; head++)
                for (size_t i = 0; i < N * N; i++) *y++ = *scores++ + mask[w * N * N + i];
}

// The mask is a constant: it has no gradient.
void add_mask_backward(const real *dy, real *dscores, size_t B, size_t nW, size_t h, size_t N) {
    for (size_t i = 0; i < B * nW * h * N * N; i++) dscores[i] += dy[i];
}

// y (Gh, N, d) = p v: each query's mean of the values, weighted by its probabilities; p (Gh, N, N), v (Gh, N, d)
void context_forward(real *y, const real *p, const real *v, size_t Gh, size_t N, size_t d) {
    for (size_t g = 0; g < Gh; g++, p += N * N, v += N * d)
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < d; c++) {
                real sum = 0;
                for (size_t j = 0; j < N; j++) sum += p[i * N + j] * v[j * d + c];
                *y++ = sum;
            }
}

void context_backward(const real *dy, real *dp, real *dv, const real *p, const real *v, size_t Gh, size_t N, size_t d) {
    for (size_t g = 0; g < Gh; g++, p += N * N, dp += N * N, v += N * d, dv += N * d)
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < d; c++, dy++)
                for (size_t j = 0; j < N; j++) {
                    dp[i * N + j] += *dy * v[j * d + c];
                    dv[j * d + c] += *dy * p[i * N + j];
                }
}

// y (G, N, h d): the heads of x (G, h, N, d) side by side
void merge_heads_forward(real *y, const real *x, size_t G, size_t N, size_t h, size_t d) {
    for (size_t g = 0; g < G; g++)
        for (size_t head = 0; head < h; head++)
            for (size_t n = 0; n < N; n++)
                for (size_t c = 0; c < d; c++) y[((g * N + n) * h + head) * d + c] = *x++;
}

void merge_heads_backward(const real *dy, real *dx, size_t G, size_t N, size_t h, size_t d) {
    for (size_t g = 0; g < G; g++)
        for (size_t head = 0; head < h; head++)
            for (size_t n = 0; n < N; n++)
                for (size_t c = 0; c < d; c++) *dx++ += dy[((g * N + n) * h + head) * d + c];
}
