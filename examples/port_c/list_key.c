// list_key KEY/key.safetensors [NAME]: what is in a key, and how a tensor begins.
#include "read_key.h"

#include <stdlib.h>

static void print_tensor(const KeyTensor *tensor) {
    printf("%-60s %-3s (", tensor->name, tensor->dtype->name);
    for (size_t i = 0; i < tensor->ndim; i++) printf(i ? ", %zu" : "%zu", tensor->shape[i]);
    printf(")\n");
}

static void print_numbers(const Key *key, const KeyTensor *tensor, size_t most) {
    real *values = allocate(tensor->count, sizeof *values);
    key_read(key, tensor, values);
    for (size_t i = 0; i < tensor->count && i < most; i++) printf("%.9g\n", (double)values[i]);
    if (tensor->count > most) printf("... %zu in all\n", tensor->count);
    free(values);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) fail("usage: list_key KEY/key.safetensors [NAME]");
    Key *key = key_open(argv[1]);
    if (argc == 3) {
        print_tensor(key_get(key, argv[2]));
        print_numbers(key, key_get(key, argv[2]), 8);
    } else {
        for (size_t i = 0; i < key->count; i++) print_tensor(&key->tensors[i]);
    }
    key_close(key);
    return 0;
}
