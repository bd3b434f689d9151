// What all kernels share: the types of numbers, and sums over a warp.
//
// Compiled once for each dtype. `Scalar` is what arrays hold: float, double, __half or __nv_bfloat16; `Sum` is what sums,
// statistics and elementary functions are computed in: double for double, else float.

#if defined(SCALAR_HALF)
#include <cuda_fp16.h>
typedef __half Scalar;
typedef float Sum;
#elif defined(SCALAR_BFLOAT16)
#include <cuda_bf16.h>
typedef __nv_bfloat16 Scalar;
typedef float Sum;
#elif defined(SCALAR_DOUBLE)
typedef double Scalar;
typedef double Sum;
#else
typedef float Scalar;
typedef float Sum;
#endif

typedef long long Index;

#define WARP 32
#define LOWEST ((Sum)-3e38)  // below any score, but that of a masked pair
#define KERNEL extern "C" __global__ void

// The place of this thread among all threads, and how many there are.
__device__ inline Index thread_number() { return (Index)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline Index thread_count() { return (Index)gridDim.x * blockDim.x; }

// The sum, or the largest, of a warp's numbers, in all of its lanes.
__device__ inline Sum warp_sum(Sum value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

__device__ inline Sum warp_max(Sum value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        Sum other = __shfl_xor_sync(0xffffffff, value, distance);
        value = other > value ? other : value;
    }
    return value;
}
