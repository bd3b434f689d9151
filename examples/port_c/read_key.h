// A reader of key.safetensors: 8 bytes with the header's length, the header in JSON, and then the numbers.
//
//     {"norm.bias": {"dtype": "F64", "shape": [16], "data_offsets": [0, 128]}, ...}
//
// The file may be damaged: every function either succeeds or ends the program with an error message.
#ifndef READ_KEY_H
#define READ_KEY_H

#include "util.h"

#include <stdio.h>

#define KEY_MAX_NDIM 8

typedef struct {
    char name[256], dtype[16];  // as in the file; the dtype is F64, F32, I64 or U8
    size_t ndim, shape[KEY_MAX_NDIM];
    size_t count, size;  // how many numbers: the product of the shape, 1 for a scalar; bytes of each
    size_t begin;        // place of its first byte in the file
} KeyTensor;

typedef struct {
    const char *path;
    FILE *file;
    char *header, *at;  // `at` is where key_next goes on
    size_t data, size;  // place in the file where the header ends; bytes behind it
} Key;

Key key_open(const char *path);
void key_close(Key *key);

int key_next(Key *key, KeyTensor *tensor);                    // each tensor in turn; 0 behind the last one
int key_find(Key *key, const char *name, KeyTensor *tensor);  // 0 where the key has none of this name
void key_read(const Key *key, const KeyTensor *tensor, real *values);

#endif
