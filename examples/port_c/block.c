#include "block.h"

#include "attention.h"
#include "layers.h"
#include "windows.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#define SHAPE(...) ((size_t[5]){__VA_ARGS__})

static void define(Block *block, int which, const char *prefix, const char *name, const size_t shape[5]) {
    Tensor *t = &block->tensor[which];
    t->name = text("%s%s", prefix, name);
    t->count = 1;
    for (; t->ndim < 5 && shape[t->ndim]; t->ndim++) {
        t->shape[t->ndim] = shape[t->ndim];
        if (t->count > SIZE_MAX / shape[t->ndim]) fail("%s: too large", t->name);
        t->count *= shape[t->ndim];
    }
    t->value = allocate(t->count, sizeof(real));
    t->grad = allocate(t->count, sizeof(real));
}

// Where a step is not needed, its tensor shares the memory of the one before, so that the next step can read it.
static void skip(Block *block, int which, int before) {
    block->tensor[which].value = block->tensor[before].value;
    block->tensor[which].grad = block->tensor[before].grad;
}

static int is_padded(const Geometry *g) { return g->Hp != g->H || g->Wp != g->W; }

Block *block_create(Geometry g, const char *name, const char *input_name) {
    if (!(g.B && g.H && g.W && g.C && g.M && g.h && g.d && g.hidden)) fail("%s: has a size of 0", name);
    g.Hp = (g.H + g.M - 1) / g.M * g.M;
    g.Wp = (g.W + g.M - 1) / g.M * g.M;
    g.nW = (g.Hp / g.M) * (g.Wp / g.M);
    g.N = g.M * g.M;
    size_t B = g.B, H = g.H, W = g.W, C = g.C, Hp = g.Hp, Wp = g.Wp, nW = g.nW, N = g.N, h = g.h, d = g.d;
    size_t hidden = g.hidden, relative_positions = (2 * g.M - 1) * (2 * g.M - 1);

    Block *b = allocate(1, sizeof *b);
    b->geometry = g;
    define(b, NORM1_WEIGHT, name, ".norm1.weight", SHAPE(C));
    define(b, NORM1_BIAS, name, ".norm1.bias", SHAPE(C));
    define(b, BIAS_TABLE, name, ".attn.relative_position_bias_table", SHAPE(relative_positions, h));
    define(b, QKV_WEIGHT, name, ".attn.qkv.weight", SHAPE(3 * h * d, C));
    if (g.qkv_bias) define(b, QKV_BIAS, name, ".attn.qkv.bias", SHAPE(3 * h * d));
    define(b, PROJ_WEIGHT, name, ".attn.proj.weight", SHAPE(C, h * d));
    define(b, PROJ_BIAS, name, ".attn.proj.bias", SHAPE(C));
    define(b, NORM2_WEIGHT, name, ".norm2.weight", SHAPE(C));
    define(b, NORM2_BIAS, name, ".norm2.bias", SHAPE(C));
    define(b, FC1_WEIGHT, name, ".mlp.fc1.weight", SHAPE(hidden, C));
    define(b, FC1_BIAS, name, ".mlp.fc1.bias", SHAPE(hidden));
    define(b, FC2_WEIGHT, name, ".mlp.fc2.weight", SHAPE(C, hidden));
    define(b, FC2_BIAS, name, ".mlp.fc2.bias", SHAPE(C));
    define(b, INPUT, input_name, "", SHAPE(B, H, W, C));

    define(b, NORM1, name, ".norm1", SHAPE(B, H, W, C));
    if (is_padded(&g)) define(b, PADDED, name, ".attn.padded", SHAPE(B, Hp, Wp, C));
    else skip(b, PADDED, NORM1);
    if (g.shift) define(b, SHIFTED, name, ".attn.shifted", SHAPE(B, Hp, Wp, C));
    else skip(b, SHIFTED, PADDED);
    define(b, WINDOWS, name, ".attn.windows", SHAPE(B, nW, N, C));
    define(b, QKV, name, ".attn.qkv", SHAPE(B, nW, N, 3 * h * d));
    define(b, Q, name, ".attn.q", SHAPE(B, nW, h, N, d));
    define(b, K, name, ".attn.k", SHAPE(B, nW, h, N, d));
    define(b, V, name, ".attn.v", SHAPE(B, nW, h, N, d));
    define(b, Q_SCALED, name, ".attn.q_scaled", SHAPE(B, nW, h, N, d));
    define(b, SCORES, name, ".attn.scores", SHAPE(B, nW, h, N, N));
    define(b, POSITION_BIAS, name, ".attn.relative_position_bias", SHAPE(h, N, N));
    define(b, BIASED_SCORES, name, ".attn.biased_scores", SHAPE(B, nW, h, N, N));
    if (g.shift) define(b, MASK, name, ".attn.mask", SHAPE(nW, N, N));
    if (g.shift) define(b, MASKED_SCORES, name, ".attn.masked_scores", SHAPE(B, nW, h, N, N));
    else skip(b, MASKED_SCORES, BIASED_SCORES);
    define(b, PROBABILITIES, name, ".attn.probabilities", SHAPE(B, nW, h, N, N));
    define(b, CONTEXT, name, ".attn.context", SHAPE(B, nW, h, N, d));
    define(b, MERGED_HEADS, name, ".attn.merged_heads", SHAPE(B, nW, N, h * d));
    define(b, PROJ, name, ".attn.proj", SHAPE(B, nW, N, C));
    define(b, JOINED, name, ".attn.joined", SHAPE(B, Hp, Wp, C));
    if (g.shift) define(b, UNSHIFTED, name, ".attn.unshifted", SHAPE(B, Hp, Wp, C));
    else skip(b, UNSHIFTED, JOINED);
    if (is_padded(&g)) define(b, CROPPED, name, ".attn.cropped", SHAPE(B, H, W, C));
    else skip(b, CROPPED, UNSHIFTED);
    define(b, RESIDUAL, name, ".residual", SHAPE(B, H, W, C));

    define(b, NORM2, name, ".norm2", SHAPE(B, H, W, C));
    define(b, FC1, name, ".mlp.fc1", SHAPE(B, H, W, hidden));
    define(b, ACT, name, ".mlp.act", SHAPE(B, H, W, hidden));
    define(b, FC2, name, ".mlp.fc2", SHAPE(B, H, W, C));
    define(b, OUTPUT, name, "", SHAPE(B, H, W, C));
    return b;
}

void block_free(Block *block) {
    for (int i = 0; i < TENSORS; i++) {
        Tensor *t = &block->tensor[i];
        if (!t->name) continue;  // its memory, if any, is that of the tensor before
        free(t->name);
        free(t->value);
        free(t->grad);
    }
    free(block);
}

void block_forward(Block *block) {
    Geometry g = block->geometry;
    size_t B = g.B, H = g.H, W = g.W, C = g.C, M = g.M, Hp = g.Hp, Wp = g.Wp, nW = g.nW, N = g.N, h = g.h, d = g.d;
    size_t rows = B * H * W, G = B * nW;
    real *v[TENSORS], scale = 1 / sqrt((real)d);
    for (int i = 0; i < TENSORS; i++) v[i] = block->tensor[i].value;

    // residual = input + window attention of norm1
    layer_norm_forward(v[NORM1], v[INPUT], v[NORM1_WEIGHT], v[NORM1_BIAS], rows, C);
    if (is_padded(&g)) pad_forward(v[PADDED], v[NORM1], B, H, W, Hp, Wp, C);
    if (g.shift) roll_forward(v[SHIFTED], v[PADDED], B, Hp, Wp, C, g.shift, g.shift);
    cut_forward(v[WINDOWS], v[SHIFTED], B, Hp, Wp, C, M);
    linear_forward(v[QKV], v[WINDOWS], v[QKV_WEIGHT], v[QKV_BIAS], G * N, C, 3 * h * d);
    split_heads_forward(v[Q], v[K], v[V], v[QKV], G, N, h, d);
    scale_forward(v[Q_SCALED], v[Q], scale, G * h * N * d);
    scores_forward(v[SCORES], v[Q_SCALED], v[K], G * h, N, d);
    position_bias_forward(v[POSITION_BIAS], v[BIAS_TABLE], h, M);
    add_bias_forward(v[BIASED_SCORES], v[SCORES], v[POSITION_BIAS], G, h, N);
    if (g.shift) shift_mask(v[MASK], Hp, Wp, M, g.shift);
    if (g.shift) add_mask_forward(v[MASKED_SCORES], v[BIASED_SCORES], v[MASK], B, nW, h, N);
    softmax_forward(v[PROBABILITIES], v[MASKED_SCORES], G * h * N, N);
    context_forward(v[CONTEXT], v[PROBABILITIES], v[V], G * h, N, d);
    merge_heads_forward(v[MERGED_HEADS], v[CONTEXT], G, N, h, d);
    linear_forward(v[PROJ], v[MERGED_HEADS], v[PROJ_WEIGHT], v[PROJ_BIAS], G * N, h * d, C);
    join_forward(v[JOINED], v[PROJ], B, Hp, Wp, C, M);
    if (g.shift) roll_forward(v[UNSHIFTED], v[JOINED], B, Hp, Wp, C, Hp - g.shift, Wp - g.shift);
    if (is_padded(&g)) crop_forward(v[CROPPED], v[UNSHIFTED], B, H, W, Hp, Wp, C);
    residual_forward(v[RESIDUAL], v[INPUT], v[CROPPED], rows * C);

    // output = residual + MLP of norm2
    layer_norm_forward(v[NORM2], v[RESIDUAL], v[NORM2_WEIGHT], v[NORM2_BIAS], rows, C);
    linear_forward(v[FC1], v[NORM2], v[FC1_WEIGHT], v[FC1_BIAS], rows, C, g.hidden);
    gelu_forward(v[ACT], v[FC1], rows * g.hidden);
    linear_forward(v[FC2], v[ACT], v[FC2_WEIGHT], v[FC2_BIAS], rows, g.hidden, C);
    residual_forward(v[OUTPUT], v[RESIDUAL], v[FC2], rows * C);
}

// The steps of block_forward in reverse order: dv[X] is the derivative of the loss by v[X].
void block_backward(Block *block) {
    Geometry g = block->geometry;
    size_t B = g.B, H = g.H, W = g.W, C = g.C, M = g.M, Hp = g.Hp, Wp = g.Wp, nW = g.nW, N = g.N, h = g.h, d = g.d;
    size_t rows = B * H * W, G = B * nW;
    real *v[TENSORS], *dv[TENSORS], scale = 1 / sqrt((real)d);
    for (int i = 0; i < TENSORS; i++) {
        v[i] = block->tensor[i].value;
        dv[i] = block->tensor[i].grad;
        if (i != OUTPUT && dv[i]) memset(dv[i], 0, block->tensor[i].count * sizeof(real));
    }

    residual_backward(dv[OUTPUT], dv[RESIDUAL], dv[FC2], rows * C);  // first term of dv[RESIDUAL]: the shortcut
    linear_backward(dv[FC2], dv[ACT], dv[FC2_WEIGHT], dv[FC2_BIAS], v[ACT], v[FC2_WEIGHT], rows, g.hidden, C);
    gelu_backward(dv[ACT], dv[FC1], v[FC1], rows * g.hidden);
    linear_backward(dv[FC1], dv[NORM2], dv[FC1_WEIGHT], dv[FC1_BIAS], v[NORM2], v[FC1_WEIGHT], rows, C, g.hidden);
    layer_norm_backward(dv[NORM2], dv[RESIDUAL], dv[NORM2_WEIGHT], dv[NORM2_BIAS],  // second term: the MLP
                        v[RESIDUAL], v[NORM2_WEIGHT], rows, C);

    residual_backward(dv[RESIDUAL], dv[INPUT], dv[CROPPED], rows * C);  // first term of dv[INPUT]: the shortcut
    if (is_padded(&g)) crop_backward(dv[CROPPED], dv[UNSHIFTED], B, H, W, Hp, Wp, C);
    if (g.shift) roll_backward(dv[UNSHIFTED], dv[JOINED], B, Hp, Wp, C, Hp - g.shift, Wp - g.shift);
    join_backward(dv[JOINED], dv[PROJ], B, Hp, Wp, C, M);
    linear_backward(dv[PROJ], dv[MERGED_HEADS], dv[PROJ_WEIGHT], dv[PROJ_BIAS], v[MERGED_HEADS], v[PROJ_WEIGHT],
                    G * N, h * d, C);
    merge_heads_backward(dv[MERGED_HEADS], dv[CONTEXT], G, N, h, d);
    context_backward(dv[CONTEXT], dv[PROBABILITIES], dv[V], v[PROBABILITIES], v[V], G * h, N, d);
    softmax_backward(dv[PROBABILITIES], dv[MASKED_SCORES], v[PROBABILITIES], G * h * N, N);
    if (g.shift) add_mask_backward(dv[MASKED_SCORES], dv[BIASED_SCORES], B, nW, h, N);
    add_bias_backward(dv[BIASED_SCORES], dv[SCORES], dv[POSITION_BIAS], G, h, N);
    position_bias_backward(dv[POSITION_BIAS], dv[BIAS_TABLE], h, M);
    scores_backward(dv[SCORES], dv[Q_SCALED], dv[K], v[Q_SCALED], v[K], G * h, N, d);
    scale_backward(dv[Q_SCALED], dv[Q], scale, G * h * N * d);
    split_heads_backward(dv[Q], dv[K], dv[V], dv[QKV], G, N, h, d);
    linear_backward(dv[QKV], dv[WINDOWS], dv[QKV_WEIGHT], dv[QKV_BIAS], v[WINDOWS], v[QKV_WEIGHT], G * N, C, 3 * h * d);
    cut_backward(dv[WINDOWS], dv[SHIFTED], B, Hp, Wp, C, M);
    if (g.shift) roll_backward(dv[SHIFTED], dv[PADDED], B, Hp, Wp, C, g.shift, g.shift);
    if (is_padded(&g)) pad_backward(dv[PADDED], dv[NORM1], B, H, W, Hp, Wp, C);
    layer_norm_backward(dv[NORM1], dv[INPUT], dv[NORM1_WEIGHT], dv[NORM1_BIAS],  // second term: the attention
                        v[INPUT], v[NORM1_WEIGHT], rows, C);
}
