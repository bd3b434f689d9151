#include "read_key.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const Dtype DTYPES[] = {{"F64", 8}, {"F32", 4}, {"I64", 8}, {"U8", 1}};

// A place in the header. A zero byte stands behind it, which is no character of JSON: everything below stops there.
typedef struct {
    const char *path, *begin;
    char *at;
} Scanner;

static void damaged(const Scanner *s, const char *expected) {
    fail("%s: the header is damaged: byte %zu is not %s", s->path, (size_t)(s->at - s->begin), expected);
}

static void skip_blanks(Scanner *s) {
    while (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r') s->at++;
}

static int next_is(Scanner *s, char wanted) {
    skip_blanks(s);
    if (*s->at != wanted) return 0;
    s->at++;
    return 1;
}

static void expect(Scanner *s, char wanted) {
    if (!next_is(s, wanted)) damaged(s, (char[]){'\'', wanted, '\'', '\0'});
}

// Ends the string with a zero where its closing quote was. Escapes stay as they are: no name of a key has any.
static const char *scan_string(Scanner *s) {
    expect(s, '"');
    const char *begin = s->at;
    for (; *s->at != '"'; s->at++) {
        if (*s->at == '\\' && s->at[1]) s->at++;
        if ((unsigned char)*s->at < ' ') damaged(s, "the end of a string");
    }
    *s->at++ = '\0';
    return begin;
}

static size_t scan_numbers(Scanner *s, size_t *numbers, size_t most) {
    size_t count = 0;
    expect(s, '[');
    if (next_is(s, ']')) return 0;
    do {
        skip_blanks(s);
        if (count == most) damaged(s, "the end of the list");
        if (*s->at < '0' || *s->at > '9') damaged(s, "a whole number");
        size_t value = 0;
        for (; *s->at >= '0' && *s->at <= '9'; s->at++) {
            size_t digit = (size_t)(*s->at - '0');
            if (value > (SIZE_MAX - digit) / 10) damaged(s, "in a number that fits");
            value = 10 * value + digit;
        }
        numbers[count++] = value;
    } while (next_is(s, ','));
    expect(s, ']');
    return count;
}

// {"dtype": "F64", "shape": [2, 3], "data_offsets": [0, 48]}, with `data` bytes of numbers in the file
static KeyTensor scan_tensor(Scanner *s, const char *name, size_t data) {
    KeyTensor tensor = {.name = name, .ndim = SIZE_MAX};
    const char *dtype = "";
    size_t offsets[2] = {SIZE_MAX, 0};
    expect(s, '{');
    do {
        const char *field = scan_string(s);
        expect(s, ':');
        if (strcmp(field, "dtype") == 0) dtype = scan_string(s);
        else if (strcmp(field, "shape") == 0) tensor.ndim = scan_numbers(s, tensor.shape, KEY_MAX_NDIM);
        else if (strcmp(field, "data_offsets") != 0 || scan_numbers(s, offsets, 2) != 2)
            damaged(s, "behind a dtype, a shape or two data_offsets");
    } while (next_is(s, ','));
    expect(s, '}');

    for (size_t i = 0; i < sizeof DTYPES / sizeof DTYPES[0]; i++)
        if (strcmp(dtype, DTYPES[i].name) == 0) tensor.dtype = &DTYPES[i];
    if (!tensor.dtype) fail("%s: %.99s: unknown dtype \"%.20s\"", s->path, name, dtype);
    if (tensor.ndim > KEY_MAX_NDIM) fail("%s: %.99s: has no shape", s->path, name);
    tensor.count = 1;
    for (size_t i = 0; i < tensor.ndim; i++) {
        if (tensor.shape[i] > SIZE_MAX / tensor.dtype->size / tensor.count)
            fail("%s: %.99s: its shape is too large", s->path, name);
        tensor.count *= tensor.shape[i];
        if (tensor.count == 0) break;
    }
    tensor.begin = offsets[0];
    if (offsets[0] > offsets[1] || offsets[1] > data)
        fail("%s: %.99s: its data_offsets are not in the file; is that truncated?", s->path, name);
    if (tensor.count * tensor.dtype->size != offsets[1] - offsets[0])
        fail("%s: %.99s: its shape and its data_offsets disagree", s->path, name);
    return tensor;
}

// {"format": "pt", ...}: strings, which say nothing about the tensors
static void skip_metadata(Scanner *s) {
    expect(s, '{');
    if (next_is(s, '}')) return;
    do {
        scan_string(s);
        expect(s, ':');
        scan_string(s);
    } while (next_is(s, ','));
    expect(s, '}');
}

static void scan_header(Key *key, Scanner *s, size_t data) {
    expect(s, '{');
    if (next_is(s, '}')) return;
    do {
        const char *name = scan_string(s);
        expect(s, ':');
        if (strcmp(name, "__metadata__") == 0) {
            skip_metadata(s);
            continue;
        }
        key->tensors = realloc(key->tensors, (key->count + 1) * sizeof *key->tensors);
        if (!key->tensors) fail("%s: no memory for its header", key->path);
        key->tensors[key->count++] = scan_tensor(s, name, data);
    } while (next_is(s, ','));
    expect(s, '}');
}

// Built from its bytes, so that it does not matter which end of a number this machine puts first.
static uint64_t little_endian(const unsigned char *bytes, size_t size) {
    uint64_t bits = 0;
    while (size-- > 0) bits = bits << 8 | bytes[size];
    return bits;
}

Key *key_open(const char *path) {
    Key *key = allocate(1, sizeof *key);
    key->path = path;
    key->file = fopen(path, "rb");
    if (!key->file) fail("%s: %s", path, strerror(errno));
    long size = fseek(key->file, 0, SEEK_END) == 0 ? ftell(key->file) : -1;
    if (size < 0 || fseek(key->file, 0, SEEK_SET) != 0) fail("%s: not a file of known size", path);

    unsigned char bytes[8];
    if (fread(bytes, 1, 8, key->file) != 8) fail("%s: truncated: it ends before its header's length", path);
    uint64_t length = little_endian(bytes, 8);
    if (length > (uint64_t)size - 8) fail("%s: truncated, or no safetensors: it ends before its header does", path);
    key->header = allocate((size_t)length + 1, 1);  // + 1 for the zero behind it
    if (fread(key->header, 1, (size_t)length, key->file) != length) fail("%s: cannot be read", path);
    key->data = 8 + (size_t)length;

    Scanner s = {path, key->header, key->header};
    scan_header(key, &s, (size_t)size - key->data);
    skip_blanks(&s);  // safetensors fills the header up with them
    if (s.at != key->header + length) damaged(&s, "its end");
    return key;
}

void key_close(Key *key) {
    fclose(key->file);
    free(key->header);
    free(key->tensors);
    free(key);
}

const KeyTensor *key_find(const Key *key, const char *name) {
    for (size_t i = 0; i < key->count; i++)
        if (strcmp(key->tensors[i].name, name) == 0) return &key->tensors[i];
    return NULL;
}

const KeyTensor *key_get(const Key *key, const char *name) {
    const KeyTensor *tensor = key_find(key, name);
    if (!tensor) fail("%s: has no tensor %s", key->path, name);
    return tensor;
}

// The same bytes in each of their readings; the dtype says which one is meant.
static real number(const unsigned char *bytes, const Dtype *dtype) {
    uint64_t u64 = little_endian(bytes, dtype->size);
    uint32_t u32 = (uint32_t)u64;
    double f64;
    float f32;
    int64_t i64;
    memcpy(&f64, &u64, sizeof f64);
    memcpy(&f32, &u32, sizeof f32);
    memcpy(&i64, &u64, sizeof i64);
    if (strcmp(dtype->name, "F64") == 0) return (real)f64;
    if (strcmp(dtype->name, "F32") == 0) return (real)f32;
    return (real)i64;  // I64, and U8, whose upper bytes are zeros
}

void key_read(const Key *key, const KeyTensor *tensor, real *values) {
    size_t size = tensor->dtype->size;
    unsigned char *bytes = allocate(tensor->count, size);
    if (fseek(key->file, (long)(key->data + tensor->begin), SEEK_SET) != 0 ||
        fread(bytes, size, tensor->count, key->file) != tensor->count)
        fail("%s: %s cannot be read", key->path, tensor->name);
    for (size_t i = 0; i < tensor->count; i++) values[i] = number(bytes + i * size, tensor->dtype);
    free(bytes);
}
