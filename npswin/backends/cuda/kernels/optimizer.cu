// Updates of all parameters at once; the mathematics is in npswin/ops/optimizer.py.
//
// `places` are the addresses of arrays; `starts` is where each of the parameters begins if all lie in a row.

#include "common.cuh"

// The addresses are those of all θ, then all g, m and v; `decays` has the λ of each. With a scale of the gradients that is
// not finite, nothing is changed: so the GPU decides by itself, and the program need not wait to see whether it may go on.
KERNEL adamw(
    const unsigned long long* places, const Index* starts, const Sum* decays, int arrays, Sum lr, Sum take_m, Sum keep_v,
    Sum take_v, Sum step_size, Sum root_scale, Sum eps, const Sum* grad_scale
) {
    Index total = starts[arrays];
    Sum scale = *grad_scale;
    int array = 0;
    if (!isfinite(scale)) return;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum *theta = (Sum*)places[array] + at, *m = (Sum*)places[2 * arrays + array] + at;
        Sum *v = (Sum*)places[3 * arrays + array] + at, g = scale * ((const Sum*)places[arrays + array])[at];
        *m += take_m * (g - *m);
        *v = keep_v * *v + take_v * g * g;
        *theta = (1 - lr * decays[array]) * *theta - step_size * *m / (sqrt(*v) * root_scale + eps);
    }
}

// a ← a + take · (θ − a); the addresses are those of all a, then all θ.
KERNEL ema(const unsigned long long* places, const Index* starts, int arrays, Sum take) {
    Index total = starts[arrays];
    int array = 0;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum* average = (Sum*)places[array] + at;
        *average += take * (((const Sum*)places[arrays + array])[at] - *average);
    }
}
