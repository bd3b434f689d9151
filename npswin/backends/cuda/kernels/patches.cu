// Moves: image patches as rows of a matrix, 2×2 groups of tokens side by side, and their transposes.

#include "common.cuh"
#include "rows.cuh"

// Images (images, channels, height, width) -> rows (images·R·S, channels·p·p), zeros beyond the right and lower edge.
KERNEL patches_forward(
    const Scalar* x, Scalar* rows, Index size, int channels, int height, int width, int patch, int down, int across
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int within = (int)(i % (channels * patch * patch)), c = within / (patch * patch);
        Index token = i / (channels * patch * patch);
        int y = (int)(token / across % down) * patch + within / patch % patch;
        int x_ = (int)(token % across) * patch + within % patch;
        Index image = token / ((Index)down * across);
        bool in_image = y < height && x_ < width;
        rows[i] = in_image ? x[((image * channels + c) * height + y) * width + x_] : (Scalar)(Sum)0;
    }
}

// The transpose: each pixel is in one row.
KERNEL patches_backward(
    const Scalar* drows, Scalar* dx, Index size, int channels, int height, int width, int patch, int down, int across
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int x = (int)(i % width), y = (int)(i / width % height), c = (int)(i / ((Index)width * height) % channels);
        Index image = i / ((Index)width * height * channels);
        Index token = (image * down + y / patch) * across + x / patch;
        dx[i] = drows[((token * channels + c) * patch + y % patch) * patch + x % patch];
    }
}

// The 2×2 groups of a map side by side, see `Groups`. With `back`, the transpose, x being filled.
KERNEL patch_concat(Scalar* x, Scalar* groups, Index size, int height, int width, int channels, int back) {
    Groups rows = {height, width, channels};
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Index group = i / (4 * channels);
        int c = (int)(i % (4 * channels));
        if (!back)
            groups[i] = (Scalar)read(rows, x, group, c);
        else if (!rows.is_padding(group, c))
            x[rows.offset(group, c)] = groups[i];
    }
}
