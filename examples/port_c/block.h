// One Swin block, forward and backward, with every intermediate tensor stored under its name in the answer key.
#ifndef BLOCK_H
#define BLOCK_H

#include "util.h"

typedef struct {
    size_t B, H, W, C;      // the map
    size_t M, shift;        // the window's side; by how much the map is rolled: 0 or M/2
    size_t h, d;            // heads, and the channels of each
    size_t hidden;          // the MLP's width
    int qkv_bias;           // whether q, k and v have a bias
    size_t Hp, Wp, nW, N;   // the map in whole windows, their number and their tokens: block_create fills these in
} Geometry;

enum {
    NORM1_WEIGHT, NORM1_BIAS, BIAS_TABLE, QKV_WEIGHT, QKV_BIAS, PROJ_WEIGHT, PROJ_BIAS,
    NORM2_WEIGHT, NORM2_BIAS, FC1_WEIGHT, FC1_BIAS, FC2_WEIGHT, FC2_BIAS,
    INPUT,  // up to here what block_forward reads, from here on what it computes
    NORM1, PADDED, SHIFTED, WINDOWS, QKV, Q, K, V, Q_SCALED, SCORES, POSITION_BIAS, BIASED_SCORES, MASK, MASKED_SCORES,
    PROBABILITIES, CONTEXT, MERGED_HEADS, PROJ, JOINED, UNSHIFTED, CROPPED, RESIDUAL,
    NORM2, FC1, ACT, FC2, OUTPUT,
    TENSORS
};

typedef struct {
    char *name;  // NULL where this block has no such tensor
    size_t ndim, shape[5];
    size_t count;  // of numbers
    real *value, *grad;
} Tensor;

typedef struct {
    Geometry geometry;
    Tensor tensor[TENSORS];
} Block;

Block *block_create(Geometry geometry, const char *name, const char *input_name);
void block_free(Block *block);

// from the values of the parameters and of INPUT, all the others
void block_forward(Block *block);

// after block_forward, from the gradient of OUTPUT, all the others
void block_backward(Block *block);

#endif
