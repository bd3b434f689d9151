// From a map to its windows and back (npswin/ops/windows.py). Each step moves tokens of C numbers; its backward pass
// moves their gradients in the other direction.
#ifndef WINDOWS_H
#define WINDOWS_H

#include "util.h"

void pad_forward(real *y, const real *x, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C);
void pad_backward(const real *dy, real *dx, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C);

void crop_forward(real *y, const real *x, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C);
void crop_backward(const real *dy, real *dx, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C);

void roll_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t up, size_t left);
void roll_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t up, size_t left);

void cut_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t M);
void cut_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t M);

void join_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t M);
void join_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t M);

void shift_mask(real *mask, size_t Hp, size_t Wp, size_t M, size_t shift);

#endif
