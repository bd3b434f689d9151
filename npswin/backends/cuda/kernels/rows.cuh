// Where a norm finds the channels of its rows: in a map as it is, or in 2×2 groups of tokens side by side.

// A token's channels in a row.
struct Tokens {
    int channels;
    __device__ Index offset(Index row, int c) const { return row * channels + c; }
    __device__ bool is_padding(Index, int) const { return false; }
};

// The groups of a map (images, height, width, channels): even row and even column, odd row and even column, even and odd,
// odd and odd, 4 channels in all. Groups at odd sides reach beyond the map, where there are zeros.
struct Groups {
    int height, width, channels;
    __device__ int down() const { return (height + 1) / 2; }
    __device__ int across() const { return (width + 1) / 2; }
    __device__ int y(Index group, int c) const { return 2 * (int)(group / across() % down()) + c / channels % 2; }
    __device__ int x(Index group, int c) const { return 2 * (int)(group % across()) + c / channels / 2; }
    __device__ bool is_padding(Index group, int c) const { return y(group, c) >= height || x(group, c) >= width; }
    __device__ Index offset(Index group, int c) const {
        Index image = group / ((Index)down() * across());
        return ((image * height + y(group, c)) * width + x(group, c)) * channels + c % channels;
    }
};

// A number of a map, by the row and the channel that it is for a norm.
template <class Rows>
__device__ inline Sum read(const Rows& rows, const Scalar* x, Index row, int c) {
    return rows.is_padding(row, c) ? (Sum)0 : (Sum)x[rows.offset(row, c)];
}
