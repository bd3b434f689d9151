// Products of small matrices by tensor cores, a warp's 16×DEEP times DEEP×8 numbers, summed in float: 16 numbers of 16 bits
// deep, or 8 of 32 bits, of whose fractions 10 bits count (TF32).
//
// Each lane has some numbers of each matrix. With g = lane / 4 and t = lane % 4, by the manual of PTX:
//     16 bits  left    a[0]: row g, columns 2t and 2t + 1;  a[1]: row g + 8;  a[2], a[3]: the same, 8 columns further
//              right   b[0]: rows 2t and 2t + 1 of column g;  b[1]: 8 rows further
//     TF32     left    a[0]: row g, column t;  a[1]: row g + 8;  a[2], a[3]: the same, 4 columns further
//              right   b[0]: row t of column g;  b[1]: 4 rows further
//     both     result  d[0], d[1]: row g, columns 2t and 2t + 1;  d[2], d[3]: row g + 8
// So results are the left operand of another product as they are: for TF32 if its columns t and t + 4 are taken to be 2t and
// 2t + 1, since in which order a product is summed up is free.

__device__ inline int group_of_lane() { return threadIdx.x % WARP / 4; }
__device__ inline int pair_of_lane() { return threadIdx.x % 4 * 2; }

#if defined(SCALAR_FLOAT)
#define DEEP 8
#define MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
#elif defined(SCALAR_HALF)
#define DEEP 16
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#else
#define DEEP 16
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#endif

#ifndef MMA_IS_EMULATED
// d ← d + a b; all lanes of a warp call it.
__device__ inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(MMA "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A number with 10 bits of its fraction.
__device__ inline unsigned shortened(float value) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
    return bits;
}
#endif

// A matrix in shared memory, rows of `stride` numbers; stride and column are even.
struct Matrix {
    Scalar* numbers;
    int stride;
    __device__ const Scalar* at(int row, int column) const { return numbers + row * stride + column; }
};

#if defined(SCALAR_FLOAT)
// Of a left operand: the numbers from column k on.
__device__ inline void take_left(unsigned (&a)[4], const Matrix& left, int row, int k) {
    for (int e = 0; e < 4; e++) a[e] = shortened(*left.at(row + group_of_lane() + e % 2 * 8, k + pair_of_lane() + e / 2));
}

// Of a right operand, whose columns are rows of the matrix.
__device__ inline void take_right(unsigned (&b)[2], const Matrix& right, int column, int k) {
    for (int e = 0; e < 2; e++) b[e] = shortened(*right.at(column + group_of_lane(), k + pair_of_lane() + e));
}

// Results, as a left operand.
__device__ inline void take_results(unsigned (&a)[4], const float (*results)[4]) {
    for (int e = 0; e < 4; e++) a[e] = shortened(results[0][e / 2 + e % 2 * 2]);
}
#else
// Two numbers of 16 bits in one of 32, the first one below.
__device__ inline unsigned packed(Scalar first, Scalar second) {
    return *(unsigned short*)&first | (unsigned)*(unsigned short*)&second << 16;
}

__device__ inline void take_left(unsigned (&a)[4], const Matrix& left, int row, int k) {
    for (int e = 0; e < 4; e++)
        a[e] = *(const unsigned*)left.at(row + group_of_lane() + e % 2 * 8, k + pair_of_lane() + e / 2 * 8);
}

__device__ inline void take_right(unsigned (&b)[2], const Matrix& right, int column, int k) {
    for (int e = 0; e < 2; e++) b[e] = *(const unsigned*)right.at(column + group_of_lane(), k + pair_of_lane() + e * 8);
}

__device__ inline void take_results(unsigned (&a)[4], const float (*results)[4]) {
    for (int e = 0; e < 4; e++)
        a[e] = packed((Scalar)results[e / 2][e % 2 * 2], (Scalar)results[e / 2][e % 2 * 2 + 1]);
}
#endif

// d ← d + (16 rows from `row` of left) · (8 rows from `column` of right)ᵀ, for the columns from 0 to DEPTH of both.
template <int DEPTH>
__device__ inline void multiply_rows(float (&d)[4], const Matrix& left, int row, const Matrix& right, int column) {
#pragma unroll
    for (int k = 0; k < DEPTH; k += DEEP) {
        unsigned a[4], b[2];
        take_left(a, left, row, k);
        take_right(b, right, column, k);
        multiply_add(d, a, b);
    }
}

// d ← d + left · (8 rows from `column` of right)ᵀ, where left are results side by side: 16 rows of 8 TILES numbers.
template <int TILES>
__device__ inline void multiply_results(float (&d)[4], const float (&left)[TILES][4], const Matrix& right, int column) {
#pragma unroll
    for (int k = 0; k < 8 * TILES; k += DEEP) {
        unsigned a[4], b[2];
        take_results(a, left + k / 8);
        take_right(b, right, column, k);
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
