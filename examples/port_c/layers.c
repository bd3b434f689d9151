#include "layers.h"

#include <tgmath.h>  // sqrt, exp and erfc of a float are computed in float

static const real EPSILON = (real)1e-5;

// mean and 1/sqrt(biased variance + eps) of a token's C channels
static void moments(real *mean, real *rstd, const real *x, size_t C) {
    real sum = 0, squares = 0;
    for (size_t c = 0; c < C; c++) sum += x[c];
    *mean = sum / C;
    for (size_t c = 0; c < C; c++) squares += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1 / sqrt(squares / C + EPSILON);
}

// y (rows, C) = xhat weight + bias, xhat = (x - mean) rstd; x (rows, C), weight (C), bias (C)
void layer_norm_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t C) {
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        real mean, rstd;
        moments(&mean, &rstd, x, C);
        for (size_t c = 0; c < C; c++) y[c] = (x[c] - mean) * rstd * weight[c] + bias[c];
    }
}

// With g = dy weight, the gradient by xhat, and <> for a token's mean: dx = rstd (g - <g> - xhat <g xhat>).
void layer_norm_backward(const real *dy, real *dx, real *dweight, real *dbias, const real *x, const real *weight,
                         size_t rows, size_t C) {
    for (size_t r = 0; r < rows; r++, x += C, dx += C, dy += C) {
        real mean, rstd, g_mean = 0, gx_mean = 0;
        moments(&mean, &rstd, x, C);
        for (size_t c = 0; c < C; c++) {
            real xhat = (x[c] - mean) * rstd, g = dy[c] * weight[c];
            g_mean += g / C;
            gx_mean += g * xhat / C;
            dweight[c] += dy[c] * xhat;
            dbias[c] += dy[c];
        }
        for (size_t c = 0; c < C; c++) {
            real xhat = (x[c] - mean) * rstd, direct = dy[c] * weight[c];
            real through_mean = -g_mean, through_rstd = -xhat * gx_mean;
            dx[c] += rstd * (direct + through_mean + through_rstd);
        }
    }
}

// y (rows, out) = x weight^T + bias; x (rows, in), weight (out, in), bias (out) or NULL
void linear_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t in, size_t out) {
    for (size_t r = 0; r < rows; r++, x += in, y += out)
        for (size_t o = 0; o < out; o++) {
            real sum = 0;
            for (size_t i = 0; i < in; i++) sum += x[i] * weight[o * in + i];
            y[o] = bias ? sum + bias[o] : sum;
        }
}

void linear_backward(const real *dy, real *dx, real *dweight, real *dbias, const real *x, const real *weight,
                     size_t rows, size_t in, size_t out) {
    for (size_t r = 0; r < rows; r++, x += in, dx += in, dy += out)
        for (size_t o = 0; o < out; o++) {
            for (size_t i = 0; i < in; i++) dx[i] += dy[o] * weight[o * in + i];
            for (size_t i = 0; i < in; i++) dweight[o * in + i] += dy[o] * x[i];
            if (dbias) dbias[o] += dy[o];
        }
}

// The normal distribution function. (1 + erf(x/sqrt 2))/2 is the same, but loses all digits where x is very negative.
static real normal_cdf(real x) { return erfc(-x * (real)0.70710678118654752440) / 2; }
static real normal_pdf(real x) { return exp(-x * x / 2) * (real)0.39894228040143267794; }

// y (n) = x cdf(x); x (n)
void gelu_forward(real *y, const real *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] * normal_cdf(x[i]);
}

void gelu_backward(const real *dy, real *dx, const real *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        real by_factor = normal_cdf(x[i]), by_cdf = x[i] * normal_pdf(x[i]);
        dx[i] += dy[i] * (by_factor + by_cdf);
    }
}

// y (rows, K) = exp(x) / sum of exp(x) over the row; x (rows, K)
void softmax_forward(real *y, const real *x, size_t rows, size_t K) {
    for (size_t r = 0; r < rows; r++, x += K, y += K) {
        real largest = x[0], sum = 0;  // its subtraction changes nothing, and nothing overflows
        for (size_t k = 1; k < K; k++) largest = x[k] > largest ? x[k] : largest;
        for (size_t k = 0; k < K; k++) sum += y[k] = exp(x[k] - largest);
        for (size_t k = 0; k < K; k++) y[k] /= sum;
    }
}

void softmax_backward(const real *dy, real *dx, const real *y, size_t rows, size_t K) {
    for (size_t r = 0; r < rows; r++, y += K, dx += K, dy += K) {
        real through_sum = 0;
        for (size_t k = 0; k < K; k++) through_sum += y[k] * dy[k];
        for (size_t k = 0; k < K; k++) dx[k] += y[k] * (dy[k] - through_sum);
    }
}

// y (n) = shortcut + branch; shortcut (n), branch (n)
void residual_forward(real *y, const real *shortcut, const real *branch, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = shortcut[i] + branch[i];
}

void residual_backward(const real *dy, real *dshortcut, real *dbranch, size_t n) {
    for (size_t i = 0; i < n; i++) {
        dshortcut[i] += dy[i];
        dbranch[i] += dy[i];
    }
}
