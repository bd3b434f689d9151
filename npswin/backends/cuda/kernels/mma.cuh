// Products of small matrices by tensor cores: a warp's 16×16 times 16×8 numbers of 16 bits, summed in float.
//
// Each lane has some numbers of each matrix. With g = lane / 4 and t = 2 (lane % 4), by the manual of PTX:
//     left    a[0]: row g, columns t and t + 1;  a[1]: row g + 8;  a[2], a[3]: the same rows, columns t + 8 and t + 9
//     right   b[0]: rows t and t + 1 of column g;  b[1]: rows t + 8 and t + 9
//     result  d[0], d[1]: row g, columns t and t + 1;  d[2], d[3]: row g + 8
// So two results side by side are, packed, the left operand of another product.

__device__ inline int group_of_lane() { return threadIdx.x % WARP / 4; }
__device__ inline int pair_of_lane() { return threadIdx.x % 4 * 2; }

#ifndef MMA_IS_EMULATED
#if defined(SCALAR_HALF)
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#else
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#endif

// d ← d + a b; all lanes of a warp call it.
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(MMA "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// Two numbers of 16 bits in one of 32, the first one below.
__device__ inline unsigned packed(Scalar first, Scalar second) {
    return *(unsigned short*)&first | (unsigned)*(unsigned short*)&second << 16;
}

// A matrix in shared memory, rows of `stride` numbers; stride and column are even.
struct Matrix {
    Scalar* numbers;
    int stride;
    __device__ unsigned pair(int row, int column) const { return *(unsigned*)(numbers + row * stride + column); }
};

// d ← d + (16 rows from `row` of left) · (8 rows from `column` of right)ᵀ, for the columns from 0 to DEPTH of both.
template <int DEPTH>
__device__ inline void multiply_rows(float (&d)[4], const Matrix& left, int row, const Matrix& right, int column) {
    int g = group_of_lane(), t = pair_of_lane();
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        unsigned a[4] = {
            left.pair(row + g, k + t), left.pair(row + g + 8, k + t), left.pair(row + g, k + t + 8),
            left.pair(row + g + 8, k + t + 8)
        };
        unsigned b[2] = {right.pair(column + g, k + t), right.pair(column + g, k + t + 8)};
        multiply_add(d, a, b);
    }
}

// d ← d + left · (8 rows from `column` of right)ᵀ, where left are results side by side: 16 rows of 8 TILES numbers.
template <int TILES>
__device__ inline void multiply_results(float (&d)[4], const float (&left)[TILES][4], const Matrix& right, int column) {
    int g = group_of_lane(), t = pair_of_lane();
#pragma unroll
    for (int k = 0; k < TILES; k += 2) {
        unsigned a[4] = {
            packed((Scalar)left[k][0], (Scalar)left[k][1]), packed((Scalar)left[k][2], (Scalar)left[k][3]),
            packed((Scalar)left[k + 1][0], (Scalar)left[k + 1][1]), packed((Scalar)left[k + 1][2], (Scalar)left[k + 1][3])
        };
        unsigned b[2] = {right.pair(column + g, 8 * k + t), right.pair(column + g, 8 * k + t + 8)};
        multiply_add(d, a, b);
    }
}

// The sum, or the largest, of the numbers of a result's row, of which four lanes have some each.
__device__ inline float row_sum(float value) {
    value += __shfl_xor_sync(0xffffffff, value, 1);
    return value + __shfl_xor_sync(0xffffffff, value, 2);
}

__device__ inline float row_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffff, value, 2));
}
