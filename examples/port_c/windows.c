#include "windows.h"

#include <string.h>

static void copy(real *y, const real *x, size_t C) { memcpy(y, x, C * sizeof *y); }

static void add(real *dx, const real *dy, size_t C) {
    for (size_t c = 0; c < C; c++) dx[c] += dy[c];
}

// y (B, Hp, Wp, C): x (B, H, W, C) with zeros at the right and at the bottom
void pad_forward(real *y, const real *x, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C) {
    memset(y, 0, B * Hp * Wp * C * sizeof *y);
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < H; i++) copy(y + (b * Hp + i) * Wp * C, x + (b * H + i) * W * C, W * C);
}

void pad_backward(const real *dy, real *dx, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < H; i++) add(dx + (b * H + i) * W * C, dy + (b * Hp + i) * Wp * C, W * C);
}

// y (B, H, W, C): x (B, Hp, Wp, C) without its last columns and rows
void crop_forward(real *y, const real *x, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < H; i++) copy(y + (b * H + i) * W * C, x + (b * Hp + i) * Wp * C, W * C);
}

// What was cropped reaches nothing: it has no gradient to add.
void crop_backward(const real *dy, real *dx, size_t B, size_t H, size_t W, size_t Hp, size_t Wp, size_t C) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < H; i++) add(dx + (b * Hp + i) * Wp * C, dy + (b * H + i) * W * C, W * C);
}

// y (B, Hp, Wp, C): x (B, Hp, Wp, C) with its first rows and columns moved behind the last ones
void roll_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t up, size_t left) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++) {
                size_t from_i = (i + up) % Hp, from_j = (j + left) % Wp;
                copy(y + ((b * Hp + i) * Wp + j) * C, x + ((b * Hp + from_i) * Wp + from_j) * C, C);
            }
}

void roll_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t up, size_t left) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++) {
                size_t from_i = (i + up) % Hp, from_j = (j + left) % Wp;
                add(dx + ((b * Hp + from_i) * Wp + from_j) * C, dy + ((b * Hp + i) * Wp + j) * C, C);
            }
}

// Where the token in row i and column j of a map stands once the map is cut: windows row by row, tokens row by row.
static size_t place(size_t i, size_t j, size_t Wp, size_t M) {
    size_t window = i / M * (Wp / M) + j / M, token = i % M * M + j % M;
    return window * M * M + token;
}

// y (B, nW, N, C): the windows of x (B, Hp, Wp, C)
void cut_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t M) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++)
                copy(y + (b * Hp * Wp + place(i, j, Wp, M)) * C, x + ((b * Hp + i) * Wp + j) * C, C);
}

void cut_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t M) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++)
                add(dx + ((b * Hp + i) * Wp + j) * C, dy + (b * Hp * Wp + place(i, j, Wp, M)) * C, C);
}

// y (B, Hp, Wp, C): the map whose windows are x (B, nW, N, C)
void join_forward(real *y, const real *x, size_t B, size_t Hp, size_t Wp, size_t C, size_t M) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++)
                copy(y + ((b * Hp + i) * Wp + j) * C, x + (b * Hp * Wp + place(i, j, Wp, M)) * C, C);
}

void join_backward(const real *dy, real *dx, size_t B, size_t Hp, size_t Wp, size_t C, size_t M) {
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < Hp; i++)
            for (size_t j = 0; j < Wp; j++)
                add(dx + (b * Hp * Wp + place(i, j, Wp, M)) * C, dy + ((b * Hp + i) * Wp + j) * C, C);
}

// Of the rolled map's rows (or columns): 0 before the last window, 1 in it, 2 for those that the roll moves there
// from the other side. Three bands of rows and three of columns make nine regions.
static size_t band(size_t position, size_t length, size_t M, size_t shift) {
    return (position >= length - M) + (position >= length - shift);
}

// mask (nW, N, N): 0, or -100 for two tokens of a window that are from different regions and thus not neighbours
void shift_mask(real *mask, size_t Hp, size_t Wp, size_t M, size_t shift) {
    size_t N = M * M, across = Wp / M, nW = Hp / M * across;
    for (size_t w = 0; w < nW; w++)
        for (size_t query = 0; query < N; query++)
            for (size_t key = 0; key < N; key++) {
                size_t top = w / across * M, left = w % across * M;
                int same_rows = band(top + query / M, Hp, M, shift) == band(top + key / M, Hp, M, shift);
                int same_columns = band(left + query % M, Wp, M, shift) == band(left + key % M, Wp, M, shift);
                mask[(w * N + query) * N + key] = same_rows && same_columns ? 0 : -100;
            }
}
