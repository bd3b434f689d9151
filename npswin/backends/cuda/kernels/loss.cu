// The loss: cross-entropy between softmax(logits) and targets.

#include "common.cuh"

// log_p = x − the largest − log Σ exp(x − the largest), loss = −Σ_k t_k log p_k; a warp takes a row.
KERNEL cross_entropy_forward(
    const Scalar* logits, const Sum* targets, Sum* log_p, Sum* losses, int rows, int classes
) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < rows; row += thread_count() / WARP) {
        const Scalar* x = logits + row * classes;
        const Sum* t = targets + row * classes;
        Sum largest = LOWEST, total = 0, loss = 0;
        for (int k = lane; k < classes; k += WARP) largest = (Sum)x[k] > largest ? (Sum)x[k] : largest;
        largest = warp_max(largest);
        for (int k = lane; k < classes; k += WARP) total += exp((Sum)x[k] - largest);
        Sum log_total = log(warp_sum(total));
        for (int k = lane; k < classes; k += WARP) {
            Sum value = (Sum)x[k] - largest - log_total;
            log_p[row * classes + k] = value;
            loss -= t[k] * value;
        }
        loss = warp_sum(loss);
        if (lane == 0) losses[row] = loss;
    }
}

// dlogits = (p Σ_k t_k − t) · dloss / rows.
KERNEL cross_entropy_backward(
    const Sum* log_p, const Sum* targets, const Sum* dloss, Scalar* dlogits, int rows, int classes
) {
    int lane = threadIdx.x % WARP;
    Sum factor = *dloss / rows;
    for (Index row = thread_number() / WARP; row < rows; row += thread_count() / WARP) {
        const Sum* t = targets + row * classes;
        Sum total = 0;
        for (int k = lane; k < classes; k += WARP) total += t[k];
        total = warp_sum(total);
        for (int k = lane; k < classes; k += WARP) {
            Index i = row * classes + k;
            dlogits[i] = (Scalar)((exp(log_p[i]) * total - t[k]) * factor);
        }
    }
}
