// Updates of all parameters at once; the mathematics is in npswin/ops/optimizer.py.
//
// `addresses` are the addresses of arrays; `starts` is where each of the parameters begins if all lie in a row.

#include "common.cuh"

// AdamW. The addresses are those of all θ, then all g, m and v; `decays` has the λ of each, `step` the t from 1. With a
// scale of the gradients that is not finite, nothing is changed: so the GPU decides by itself, and the program need not
// wait to see whether it may go on.
KERNEL adamw(
    const unsigned long long* addresses, const Index* starts, const Sum* decays, int arrays, const Sum* lr, const Sum* step,
    double beta1, double beta2, Sum eps, const Sum* grad_scale
) {
    __shared__ Sum step_size, root_scale;
    if (threadIdx.x == 0) {
        step_size = (Sum)(*lr / (1 - pow(beta1, (double)*step)));
        root_scale = (Sum)(1 / sqrt(1 - pow(beta2, (double)*step)));
    }
    __syncthreads();
    Index total = starts[arrays];
    Sum scale = *grad_scale, rate = *lr, take_m = (Sum)(1 - beta1), keep_v = (Sum)beta2, take_v = (Sum)(1 - beta2);
    int array = 0;
    if (!isfinite(scale)) return;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum *theta = (Sum*)addresses[array] + at, *m = (Sum*)addresses[2 * arrays + array] + at;
        Sum *v = (Sum*)addresses[3 * arrays + array] + at, g = scale * ((const Sum*)addresses[arrays + array])[at];
        *m += take_m * (g - *m);
        *v = keep_v * *v + take_v * g * g;
        *theta = (1 - rate * decays[array]) * *theta - step_size * *m / (sqrt(*v) * root_scale + eps);
    }
}

// SGD with momentum; the addresses are those of all θ, then all g and u.
KERNEL sgd(
    const unsigned long long* addresses, const Index* starts, const Sum* decays, int arrays, const Sum* lr, Sum momentum,
    const Sum* grad_scale
) {
    Index total = starts[arrays];
    Sum scale = *grad_scale, rate = *lr;
    int array = 0;
    if (!isfinite(scale)) return;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum *theta = (Sum*)addresses[array] + at, *u = (Sum*)addresses[2 * arrays + array] + at;
        Sum decay = decays[array] != 0 ? decays[array] * *theta : 0;  // 0 · inf would be NaN
        *u = momentum * *u + scale * ((const Sum*)addresses[arrays + array])[at] + decay;
        *theta -= rate * *u;
    }
}

// a ← a + (1 − δ) (θ − a), δ being `decay`; the addresses are those of all a, then all θ.
KERNEL ema(const unsigned long long* addresses, const Index* starts, int arrays, const Sum* decay) {
    Index total = starts[arrays];
    Sum take = 1 - *decay;
    int array = 0;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum* average = (Sum*)addresses[array] + at;
        *average += take * (((const Sum*)addresses[arrays + array])[at] - *average);
    }
}
