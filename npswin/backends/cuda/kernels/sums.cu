// Sums down the rows of a matrix, in an order that depends on the sizes alone: so that results are reproducible bit for bit.

#include "common.cuh"

// out (shares, columns) = Σ of each share of the rows; block (32, 8), grid (columns / 32, shares).
KERNEL column_sums(const Scalar* x, Sum* out, Index rows, int columns) {
    __shared__ Sum partial_sums[8][WARP];
    int c = blockIdx.x * WARP + threadIdx.x;
    Index share = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * share;
    Index stop = first + share < rows ? first + share : rows;
    Sum total = 0;
    if (c < columns)
        for (Index row = first + threadIdx.y; row < stop; row += 8) total += (Sum)x[row * columns + c];
    partial_sums[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y == 0 && c < columns) {
        total = 0;
        for (int part = 0; part < 8; part++) total += partial_sums[part][threadIdx.x];
        out[(Index)blockIdx.y * columns + c] = total;
    }
}

// out (columns) = Σ of the rows of partial sums: one thread a column.
KERNEL add_partial_sums(const Sum* partial, Sum* out, int rows, Index columns) {
    for (Index c = thread_number(); c < columns; c += thread_count()) {
        Sum total = 0;
        for (int row = 0; row < rows; row++) total += partial[row * columns + c];
        out[c] = total;
    }
}

// Σ x² of each block's share of a list of arrays: `addresses` are addresses, `starts` where each begins in their row.
KERNEL square_sums(const unsigned long long* addresses, const Index* starts, int arrays, double* out) {
    __shared__ double partial_sums[WARP];
    Index total = starts[arrays];
    double sum = 0;
    int array = 0;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        double value = (double)(Sum)((const Scalar*)addresses[array])[i - starts[array]];
        sum += value * value;
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(0xffffffff, sum, distance);
    if (threadIdx.x % WARP == 0) partial_sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        sum = 0;
        for (int warp = 0; warp < blockDim.x / WARP; warp++) sum += partial_sums[warp];
        out[blockIdx.x] = sum;
    }
}
