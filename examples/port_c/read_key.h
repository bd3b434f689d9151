// A reader of key.safetensors: 8 bytes with the header's length, the header in JSON, and then the numbers.
//
//     {"norm.bias": {"dtype": "F64", "shape": [16], "data_offsets": [0, 128]}, ...}
//
// The file is not trusted: a function here either does what it says or ends the program with a message.
#ifndef READ_KEY_H
#define READ_KEY_H

#include "util.h"

#include <stdio.h>

#define KEY_MAX_NDIM 8

typedef struct {
    const char *name;  // as in the file: "F64", "F32", "I64" or "U8"
    size_t size;       // bytes of a number
} Dtype;

typedef struct {
    const char *name;
    const Dtype *dtype;
    size_t ndim, shape[KEY_MAX_NDIM];
    size_t count;  // of numbers: the product of the shape, 1 for a scalar
    size_t begin;  // place of the first byte, counted from the end of the header
} KeyTensor;

typedef struct {
    const char *path;
    FILE *file;
    char *header;  // the tensors' names lie in it
    size_t data;   // place in the file where the header ends
    size_t count;
    KeyTensor *tensors;  // in the header's order
} Key;

Key *key_open(const char *path);
void key_close(Key *key);

const KeyTensor *key_find(const Key *key, const char *name);  // NULL where the key has none of this name
const KeyTensor *key_get(const Key *key, const char *name);   // fails where the key has none of this name
void key_read(const Key *key, const KeyTensor *tensor, real *values);

#endif
