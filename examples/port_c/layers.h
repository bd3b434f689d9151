// Layers that compute each token, or each number, by itself; derivations in npswin/ops/.
//
// As in llm.c, X_backward stands next to X_forward and takes the same arguments in the same order, each as its gradient
// (dy is read; dx, dweight, dbias are written), and then the values and sizes that it needs. Backward functions *add*
// to what they write, since a tensor that is read twice has a gradient of two terms. All arrays are in C order.
#ifndef LAYERS_H
#define LAYERS_H

#include "util.h"

void layer_norm_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t C);
void layer_norm_backward(const real *dy, real *dx, real *dweight, real *dbias, const real *x, const real *weight,
                         size_t rows, size_t C);

void linear_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t in, size_t out);
void linear_backward(const real *dy, real *dx, real *dweight, real *dbias, const real *x, const real *weight,
                     size_t rows, size_t in, size_t out);

void gelu_forward(real *y, const real *x, size_t n);
void gelu_backward(const real *dy, real *dx, const real *x, size_t n);

void softmax_forward(real *y, const real *x, size_t rows, size_t K);
void softmax_backward(const real *dy, real *dx, const real *y, size_t rows, size_t K);

void residual_forward(real *y, const real *shortcut, const real *branch, size_t n);
void residual_backward(const real *dy, real *dshortcut, real *dbranch, size_t n);

#endif
