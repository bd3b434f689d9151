#define _POSIX_C_SOURCE 200809L  // for mkdir

#include "dump.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Creates the folder and its parent folders; an existing one is not an error.
static void make_folder(const char *path) {
    char *part = text("%s", path);
    for (char *at = part; *at; at++) {
        if (*at != '/' || at == part) continue;
        *at = '\0';
        mkdir(part, 0777);
        *at = '/';
    }
    if (mkdir(part, 0777) != 0 && errno != EEXIST) fail("%s: %s", path, strerror(errno));
    free(part);
}

static FILE *create(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail("%s: %s", path, strerror(errno));
    return file;
}

// On a full disk the error may appear only here.
static void close_file(FILE *file, const char *path) {
    int failed = ferror(file);
    if (fclose(file) != 0 || failed) fail("%s: cannot be written", path);
}

Dump *dump_open(const char *folder) {
    Dump *dump = allocate(1, sizeof *dump);
    dump->folder = text("%s", folder);
    char *gradients = text("%s/grad", folder), *shapes = text("%s/shapes.json", folder);
    make_folder(gradients);
    dump->shapes = create(shapes);
    fputc('{', dump->shapes);
    free(gradients);
    free(shapes);
    return dump;
}

static void write_little_endian(FILE *file, real value) {
    const uint16_t one = 1;
    int big_endian = *(const unsigned char *)&one == 0;
    unsigned char bytes[sizeof value];
    memcpy(bytes, &value, sizeof value);
    for (size_t i = 0; i < sizeof value; i++) fputc(bytes[big_endian ? sizeof value - 1 - i : i], file);
}

void dump_write(Dump *dump, const char *name, const size_t *shape, size_t ndim, const real *values) {
    if (strpbrk(name, "\"\\\n")) fail("%s: cannot stand in shapes.json", name);
    size_t count = 1;
    fprintf(dump->shapes, "%s\n  \"%s\": {\"shape\": [", dump->count++ ? "," : "", name);
    for (size_t i = 0; i < ndim; i++) {
        fprintf(dump->shapes, i ? ", %zu" : "%zu", shape[i]);
        count *= shape[i];
    }
    fprintf(dump->shapes, "], \"dtype\": \"float%zu\"}", 8 * sizeof(real));

    char *path = text("%s/%s.bin", dump->folder, name);
    FILE *file = create(path);
    for (size_t i = 0; i < count; i++) write_little_endian(file, values[i]);
    close_file(file, path);
    free(path);
}

void dump_close(Dump *dump) {
    fputs("\n}\n", dump->shapes);
    close_file(dump->shapes, "shapes.json");
    free(dump->folder);
    free(dump);
}
