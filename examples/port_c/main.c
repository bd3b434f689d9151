// port KEY_FOLDER BLOCK_NAME OUT_FOLDER: computes one block of an answer key, forward and backward, and writes every
// tensor and gradient for `npswin compare KEY_FOLDER OUT_FOLDER`.
//
// The parameters, the block's input and the gradient by its output are read from the key; all else is computed here.
// That gradient is written as well, since the comparison computes the expected gradients from it.
#include "block.h"
#include "dump.h"
#include "read_key.h"

#include <stdlib.h>
#include <string.h>

static int has(Key *key, const char *first, const char *second) {
    KeyTensor tensor;
    char *name = text("%s%s", first, second);
    int found = key_find(key, name, &tensor);
    free(name);
    return found;
}

// The tensor `first` + `second` of the key, with so many axes.
static KeyTensor get(Key *key, const char *first, const char *second, size_t ndim) {
    KeyTensor tensor;
    char *name = text("%s%s", first, second);
    if (!key_find(key, name, &tensor)) fail("%s: has no tensor %s", key->path, name);
    if (has(key, "positions/", name)) fail("%s: the key has only a sample of its numbers", name);
    if (tensor.ndim != ndim) fail("%s: has %zu axes, expected %zu", name, tensor.ndim, ndim);
    free(name);
    return tensor;
}

// The name of the block's input: the output of the block before it, of the merging at the start of its stage, or of the
// patch embedding, whose last step has different names in different models.
static char *input_name(Key *key, const char *block) {
    size_t stage, place;
    char rest;
    if (sscanf(block, "layers.%zu.blocks.%zu%c", &stage, &place, &rest) != 2)
        fail("%s: expected a name such as layers.0.blocks.1", block);
    if (place > 0) return text("layers.%zu.blocks.%zu", stage, place - 1);
    if (stage > 0) return text("layers.%zu.downsample.reduction", stage - 1);
    if (has(key, "pos_drop", "")) return text("pos_drop");
    return text(has(key, "patch_embed.norm", "") ? "patch_embed.norm" : "patch_embed.proj");
}

// The shapes give everything but the shift. The block is shifted if the key has its shifted map. A key without the
// block's activations has neither, so the windows, which are cut from that map, are required.
static Geometry geometry_of(Key *key, const char *block, const char *input) {
    KeyTensor x = get(key, input, "", 4);
    KeyTensor table = get(key, block, ".attn.relative_position_bias_table", 2);
    Geometry g = {.B = x.shape[0], .H = x.shape[1], .W = x.shape[2], .C = x.shape[3], .M = 1, .h = table.shape[1]};
    while ((2 * g.M - 1) * (2 * g.M - 1) < table.shape[0]) g.M++;
    get(key, block, ".attn.windows", 4);
    if (has(key, block, ".attn.shifted")) g.shift = g.M / 2;
    if (g.h) g.d = get(key, block, ".attn.proj.weight", 2).shape[1] / g.h;
    g.hidden = get(key, block, ".mlp.fc1.weight", 2).shape[0];
    g.qkv_bias = has(key, block, ".attn.qkv.bias");
    return g;
}

static void load(Key *key, const char *prefix, const Tensor *tensor, real *numbers) {
    KeyTensor source = get(key, prefix, tensor->name, tensor->ndim);
    for (size_t i = 0; i < tensor->ndim; i++)
        if (source.shape[i] != tensor->shape[i])
            fail("%s: axis %zu has length %zu, expected %zu", source.name, i, source.shape[i], tensor->shape[i]);
    key_read(key, &source, numbers);
}

static void dump_block(const Block *block, const char *folder) {
    Dump *dump = dump_open(folder);
    for (int i = 0; i < TENSORS; i++) {
        const Tensor *t = &block->tensor[i];
        if (!t->name) continue;
        if (i > INPUT) dump_write(dump, t->name, t->shape, t->ndim, t->value);
        if (i == MASK) continue;  // a constant: it has no gradient
        char *name = text("grad/%s", t->name);
        dump_write(dump, name, t->shape, t->ndim, t->grad);
        free(name);
    }
    dump_close(dump);
}

int main(int argc, char **argv) {
    if (argc != 4) fail("usage: port KEY_FOLDER BLOCK_NAME OUT_FOLDER");
    char *path = text("%s/key.safetensors", argv[1]);
    Key key = key_open(path);
    char *input = input_name(&key, argv[2]);
    Block *block = block_create(geometry_of(&key, argv[2], input), argv[2], input);

    for (int i = 0; i <= INPUT; i++)
        if (block->tensor[i].name) load(&key, "", &block->tensor[i], block->tensor[i].value);
    block_forward(block);
    load(&key, "grad/", &block->tensor[OUTPUT], block->tensor[OUTPUT].grad);
    block_backward(block);
    dump_block(block, argv[3]);

    block_free(block);
    free(input);
    key_close(&key);
    free(path);
    return 0;
}
