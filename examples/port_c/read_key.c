#include "read_key.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void damaged(const Key *key, const char *expected) {
    fail("%s: damaged: byte %zu is not %s", key->path, 8 + (size_t)(key->at - key->header), expected);
}

// A zero follows the header. JSON has none, so that no function here reads beyond it.
static int next_is(Key *key, char wanted) {
    key->at += strspn(key->at, " \n\t\r");
    if (*key->at != wanted) return 0;
    key->at++;
    return 1;
}

static void expect(Key *key, char wanted) {
    if (!next_is(key, wanted)) damaged(key, (char[]){'\'', wanted, '\'', '\0'});
}

// With a capacity of 0 the string is skipped. Escapes are not decoded, since no name of a key has any.
static void scan_string(Key *key, char *to, size_t capacity) {
    expect(key, '"');
    const char *begin = key->at;
    for (; *key->at != '"'; key->at++) {
        if (*key->at == '\\') key->at++;
        if ((unsigned char)*key->at < ' ') damaged(key, "the end of a string");
    }
    size_t length = (size_t)(key->at++ - begin);
    if (capacity && length >= capacity) damaged(key, "where so long a string may end");
    if (capacity) memcpy(to, begin, length);  // the memory is zero before, so that a zero ends the string
}

// Here and in scan_entry a missing comma is accepted, as it changes no number.
static size_t scan_numbers(Key *key, size_t *numbers, size_t most) {
    size_t count = 0;
    for (expect(key, '['); !next_is(key, ']'); next_is(key, ',')) {
        if (count == most || *key->at < '0' || *key->at > '9') damaged(key, "a number or the list's end");
        numbers[count++] = strtoull(key->at, &key->at, 10);  // the largest number, where it does not fit
    }
    return count;
}

// "NAME": {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48]}; fields that are missing keep impossible values
static void scan_entry(Key *key, KeyTensor *t, size_t offsets[2]) {
    *t = (KeyTensor){.ndim = 1, .shape = {SIZE_MAX}, .count = 1};
    offsets[0] = offsets[1] = SIZE_MAX;
    scan_string(key, t->name, sizeof t->name);
    expect(key, ':');
    for (expect(key, '{'); !next_is(key, '}'); next_is(key, ',')) {
        char field[sizeof t->name] = "";
        scan_string(key, field, sizeof field);
        expect(key, ':');
        if (strcmp(t->name, "__metadata__") == 0) scan_string(key, NULL, 0);
        else if (strcmp(field, "shape") == 0) t->ndim = scan_numbers(key, t->shape, KEY_MAX_NDIM);
        else if (strcmp(field, "data_offsets") == 0) scan_numbers(key, offsets, 2);
        else if (strcmp(field, "dtype") == 0) scan_string(key, t->dtype, sizeof t->dtype);
        else damaged(key, "behind a dtype, a shape or data_offsets");
    }
    next_is(key, ',');
}

int key_next(Key *key, KeyTensor *t) {
    size_t offsets[2];
    if (key->at == key->header) expect(key, '{');
    do {
        if (next_is(key, '}')) {
            if (key->at + strspn(key->at, " ") != key->header + key->data - 8) damaged(key, "the header's last one");
            key->at = key->header;
            return 0;
        }
        scan_entry(key, t, offsets);
    } while (strcmp(t->name, "__metadata__") == 0);

    if (strcmp(t->dtype, "F64") == 0 || strcmp(t->dtype, "I64") == 0) t->size = 8;
    else if (strcmp(t->dtype, "F32") == 0) t->size = 4;
    else if (strcmp(t->dtype, "U8") == 0) t->size = 1;
    else fail("%s: %s: unknown dtype \"%s\"", key->path, t->name, t->dtype);
    for (size_t i = 0; i < t->ndim; i++) {
        if (t->count && t->shape[i] > SIZE_MAX / 8 / t->count) fail("%s: %s: too large", key->path, t->name);
        t->count *= t->shape[i];
    }
    if (offsets[0] > offsets[1] || offsets[1] > key->size || t->count * t->size != offsets[1] - offsets[0])
        fail("%s: %s: truncated, or its shape and its data_offsets do not fit", key->path, t->name);
    t->begin = key->data + offsets[0];
    return 1;
}

int key_find(Key *key, const char *name, KeyTensor *tensor) {
    for (key->at = key->header; key_next(key, tensor);)
        if (strcmp(tensor->name, name) == 0) return 1;
    return 0;
}

Key key_open(const char *path) {
    Key key = {.path = path, .file = fopen(path, "rb")};
    if (!key.file) fail("%s: %s", path, strerror(errno));
    long size = fseek(key.file, 0, SEEK_END) == 0 ? ftell(key.file) : -1;
    rewind(key.file);
    uint64_t length;
    if (size < 8 || fread(&length, 8, 1, key.file) != 1 || length > (uint64_t)size - 8)
        fail("%s: truncated, or no safetensors: it ends before its header does", path);
    key.data = 8 + (size_t)length;
    key.size = (size_t)size - key.data;
    key.at = key.header = allocate((size_t)length + 1, 1);
    if (fread(key.header, 1, (size_t)length, key.file) != length) fail("%s: cannot be read", path);

    KeyTensor tensor;
    while (key_next(&key, &tensor)) {}  // a damaged key fails here, before anything is computed
    return key;
}

void key_close(Key *key) {
    fclose(key->file);
    free(key->header);
}

// The numbers are little-endian, as on nearly every machine; on another one, key_open fails at the header's length.
void key_read(const Key *key, const KeyTensor *t, real *values) {
    if (fseek(key->file, (long)t->begin, SEEK_SET) != 0) fail("%s: %s cannot be read", key->path, t->name);
    for (size_t i = 0; i < t->count; i++) {
        union { double f64; float f32; int64_t i64; uint8_t u8; } number;
        if (fread(&number, t->size, 1, key->file) != 1) fail("%s: %s cannot be read", key->path, t->name);
        if (t->dtype[0] == 'F') values[i] = (real)(t->size == 8 ? number.f64 : number.f32);
        else values[i] = (real)(t->size == 8 ? number.i64 : number.u8);
    }
}
