// list_key KEY/key.safetensors [NAME]: prints the tensors of a key, or the first numbers of one.
#include "read_key.h"

#include <stdlib.h>

static void print_tensor(const KeyTensor *tensor) {
    printf("%-60s %-3s (", tensor->name, tensor->dtype);
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
    Key key = key_open(argv[1]);
    KeyTensor tensor;
    if (argc == 3) {
        if (!key_find(&key, argv[2], &tensor)) fail("%s: has no tensor %s", argv[1], argv[2]);
        print_tensor(&tensor);
        print_numbers(&key, &tensor, 8);
    } else {
        while (key_next(&key, &tensor)) print_tensor(&tensor);
    }
    key_close(&key);
    return 0;
}
