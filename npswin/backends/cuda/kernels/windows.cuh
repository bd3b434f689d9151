// Windows as positions in a map: padding, the cyclic shift and the cut are index arithmetic. And what q, k, v and the scores
// are made of.

// A map of (images, height, width) tokens, padded right and bottom to whole windows, rolled up and left by `shift_size`.
struct Geometry {
    int images, height, width, window, shift_size, rows, columns, heads, dim;  // rows, columns: of windows
};

// Where token t of a window is in the map, as a row of tokens; tokens of the padding come after all others.
__device__ inline Index position(const Geometry& g, int image, int window_row, int window_column, int t) {
    int padded_height = g.rows * g.window, padded_width = g.columns * g.window;
    int y = (window_row * g.window + t / g.window + g.shift_size) % padded_height;
    int x = (window_column * g.window + t % g.window + g.shift_size) % padded_width;
    if (y < g.height && x < g.width) return ((Index)image * g.height + y) * g.width + x;
    Index beside = g.height * (Index)(padded_width - g.width), below = (Index)(padded_height - g.height) * padded_width;
    Index number = y < g.height ? (Index)y * (padded_width - g.width) + (x - g.width)
                                : beside + (Index)(y - g.height) * padded_width + x;
    return (Index)g.images * g.height * g.width + image * (beside + below) + number;
}

// Which of the regions that the shift put side by side a token comes from; see `shift_regions` in npswin/ops/windows.py.
__device__ inline int region(const Geometry& g, int window_row, int window_column, int t) {
    if (!g.shift_size) return 0;
    int y = window_row * g.window + t / g.window, x = window_column * g.window + t % g.window;
    int height = g.rows * g.window, width = g.columns * g.window;
    int down = y < height - g.window ? 0 : y < height - g.shift_size ? 1 : 2;
    int across = x < width - g.window ? 0 : x < width - g.shift_size ? 1 : 2;
    return 3 * down + across;
}

// A number of q (part 0), k (1) or v (2): the map's and the bias; a token of the padding has the bias alone.
__device__ inline Sum qkv_at(
    const Geometry& g, const Scalar* qkv, const Sum* qkv_bias, Index token, int part, int head, int c
) {
    int column = (part * g.heads + head) * g.dim + c;
    Sum value = qkv_bias ? qkv_bias[column] : (Sum)0;
    if (token < (Index)g.images * g.height * g.width) value += (Sum)qkv[token * 3 * g.heads * g.dim + column];
    return value;
}

// The window of a block: (image, row, column) from its number.
struct Window {
    int image, row, column;
};

__device__ inline Window window_of(const Geometry& g, Index number) {
    int per_image = g.rows * g.columns, of_image = (int)(number % per_image);
    Window window = {(int)(number / per_image), of_image / g.columns, of_image % g.columns};
    return window;
}

// What a block looks up about its window's tokens, in shared memory: divisions take longer than the products of a score.
struct WindowTokens {
    int *positions, *regions, *rows;  // in the map; of the shift; of the bias table, up to the difference of two
};

// Their arrays, in memory from here on.
__device__ inline WindowTokens window_tokens(void* memory, int count) {
    int* first = (int*)memory;
    WindowTokens tokens = {first, first + count, first + 2 * count};
    return tokens;
}

// Finds them; then a barrier has to come.
__device__ inline void find(const WindowTokens& tokens, const Geometry& g, const Window& window) {
    for (int t = threadIdx.x; t < g.window * g.window; t += blockDim.x) {
        tokens.positions[t] = (int)position(g, window.image, window.row, window.column, t);
        tokens.regions[t] = region(g, window.row, window.column, t);
        tokens.rows[t] = t / g.window * (2 * g.window - 1) + t % g.window;
    }
}

// What is added to the score of query i and key j. `kind`: 0 no table, 1 a column a head, 2 one column, 3 a row a pair.
__device__ inline Sum added(
    const Geometry& g, const Sum* table, int kind, int head, int i, int j, const WindowTokens& tokens, Sum mask_value
) {
    Sum value = tokens.regions[i] == tokens.regions[j] ? (Sum)0 : mask_value;
    if (kind == 3) return value + table[i * g.window * g.window + j];
    if (kind) {
        int row = tokens.rows[i] - tokens.rows[j] + 2 * g.window * (g.window - 1);  // Δy and Δx, each from 1 − M on
        value += table[row * (kind == 1 ? g.heads : 1) + (kind == 1 ? head : 0)];
    }
    return value;
}
