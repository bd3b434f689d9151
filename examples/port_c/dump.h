// A folder of tensors as npswin reads it: NAME.bin with the numbers, and shapes.json with shapes and dtypes.
#ifndef DUMP_H
#define DUMP_H

#include "util.h"

#include <stdio.h>

typedef struct {
    char *folder;
    FILE *shapes;
    size_t count;  // of tensors written
} Dump;

// creates the folder, and its folder grad, if they do not exist
Dump *dump_open(const char *folder);

// name: such as "layers.0.blocks.1.norm1", or "grad/layers.0.blocks.1.norm1"
void dump_write(Dump *dump, const char *name, const size_t *shape, size_t ndim, const real *values);

void dump_close(Dump *dump);

#endif
