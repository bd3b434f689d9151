// Softmax over rows; a warp takes a row. The mathematics is in npswin/ops/softmax.py.

#include "common.cuh"

// p_j = exp(x_j − the largest) / Σ_k exp(x_k − the largest).
KERNEL softmax_forward(const Scalar* x, Scalar* p, Index rows, int length) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < rows; row += thread_count() / WARP) {
        const Scalar* x_row = x + row * length;
        Sum largest = LOWEST, total = 0;
        for (int j = lane; j < length; j += WARP) largest = (Sum)x_row[j] > largest ? (Sum)x_row[j] : largest;
        largest = warp_max(largest);
        for (int j = lane; j < length; j += WARP) total += exp((Sum)x_row[j] - largest);
        Sum inverse = 1 / warp_sum(total);
        for (int j = lane; j < length; j += WARP) p[row * length + j] = (Scalar)(exp((Sum)x_row[j] - largest) * inverse);
    }
}

// dx_j = p_j (dp_j − Σ_k p_k dp_k).
KERNEL softmax_backward(const Scalar* dp, const Scalar* p, Scalar* dx, Index rows, int length) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < rows; row += thread_count() / WARP) {
        Index first = row * length;
        Sum dot = 0;
        for (int j = lane; j < length; j += WARP) dot += (Sum)p[first + j] * (Sum)dp[first + j];
        dot = warp_sum(dot);
        for (int j = lane; j < length; j += WARP) dx[first + j] = (Scalar)((Sum)p[first + j] * ((Sum)dp[first + j] - dot));
    }
}
