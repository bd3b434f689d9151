// Used by every file here: the number type, memory, names, and fatal errors.
#ifndef UTIL_H
#define UTIL_H

#include <stddef.h>

// The port computes in float. With -DREAL=double the same code shows which differences are rounding errors.
#ifndef REAL
#define REAL float
#endif
typedef REAL real;

// prints "error: ..." on stderr and ends the program with status 1
void fail(const char *format, ...);

// count zeros of the given size, to be freed; fails where there is no memory for them
void *allocate(size_t count, size_t size);

// sprintf into memory of its own, to be freed
char *text(const char *format, ...);

#endif
