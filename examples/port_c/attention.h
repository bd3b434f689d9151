// Attention inside windows, step by step (npswin/ops/attention.py, npswin/ops/position_bias.py).
//
// G counts windows of all images (B nW), N = M^2 their tokens, h heads of d channels.
#ifndef ATTENTION_H
#define ATTENTION_H

#include "util.h"

void split_heads_forward(real *q, real *k, real *v, const real *qkv, size_t G, size_t N, size_t h, size_t d);
void split_heads_backward(const real *dq, const real *dk, const real *dv, real *dqkv, size_t G, size_t N, size_t h,
                          size_t d);

void scale_forward(real *y, const real *x, real factor, size_t n);
void scale_backward(const real *dy, real *dx, real factor, size_t n);

void scores_forward(real *scores, const real *q, const real *k, size_t Gh, size_t N, size_t d);
void scores_backward(const real *dscores, real *dq, real *dk, const real *q, const real *k, size_t Gh, size_t N,
                     size_t d);

void position_bias_forward(real *bias, const real *table, size_t h, size_t M);
void position_bias_backward(const real *dbias, real *dtable, size_t h, size_t M);

void add_bias_forward(real *y, const real *scores, const real *bias, size_t G, size_t h, size_t N);
void add_bias_backward(const real *dy, real *dscores, real *dbias, size_t G, size_t h, size_t N);

void add_mask_forward(real *y, const real *scores, const real *mask, size_t B, size_t nW, size_t h, size_t N);
void add_mask_backward(const real *dy, real *dscores, size_t B, size_t nW, size_t h, size_t N);

void context_forward(real *y, const real *p, const real *v, size_t Gh, size_t N, size_t d);
void context_backward(const real *dy, real *dp, real *dv, const real *p, const real *v, size_t Gh, size_t N, size_t d);

void merge_heads_forward(real *y, const real *x, size_t G, size_t N, size_t h, size_t d);
void merge_heads_backward(const real *dy, real *dx, size_t G, size_t N, size_t h, size_t d);

#endif
