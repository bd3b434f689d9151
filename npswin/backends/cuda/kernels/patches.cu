// Moves: image patches and neighbourhoods as rows of a matrix, 2×2 groups of tokens side by side, and transposes.

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

// Rows (tokens of the target, places of the kernel, channels): the source's entry that a token meets at a place, or
// zeros. The target is the convolution's result and the source its input, or the other way round where it is transposed.
KERNEL gather_places(
    const Scalar* source, Scalar* rows, Index size, Index first, int channels, int height, int width,
    int source_height, int source_width, int kernel_height, int kernel_width, int stride, int padding, int transposed
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        int c = (int)(i % channels), place = (int)(i / channels % (kernel_height * kernel_width));
        Index token = first + i / ((Index)channels * kernel_height * kernel_width);
        int y = (int)(token / width % height), x = (int)(token % width);
        Index image = token / ((Index)height * width);
        int down = place / kernel_width - padding, across = place % kernel_width - padding;
        int row = transposed ? y - down : y * stride + down, column = transposed ? x - across : x * stride + across;
        bool meets = row >= 0 && column >= 0;
        if (transposed) {
            meets = meets && row % stride == 0 && column % stride == 0;
            row /= stride;
            column /= stride;
        }
        meets = meets && row < source_height && column < source_width;
        rows[i] = meets ? source[((image * source_height + row) * source_width + column) * channels + c]
                        : (Scalar)(Sum)0;
    }
}
