// Updates of all parameters at once; the mathematics is in npswin/ops/optimizer.py.

#include "common.cuh"

// `places` are the addresses of all θ, then all g, m and v; `starts` where each begins if all lie in a row; `keeps` is
// 1 − ηλ of each. All in one dtype.
KERNEL adamw(
    const unsigned long long* places, const Index* starts, const Sum* keeps, int arrays, Sum take_m, Sum keep_v,
    Sum take_v, Sum step_size, Sum root_scale, Sum eps
) {
    Index total = starts[arrays];
    int array = 0;
    for (Index i = thread_number(); i < total; i += thread_count()) {
        while (i >= starts[array + 1]) array++;
        Index at = i - starts[array];
        Sum *theta = (Sum*)places[array] + at, *m = (Sum*)places[2 * arrays + array] + at;
        Sum *v = (Sum*)places[3 * arrays + array] + at, g = ((const Sum*)places[arrays + array])[at];
        *m += take_m * (g - *m);
        *v = keep_v * *v + take_v * g * g;
        *theta = keeps[array] * *theta - step_size * *m / (sqrt(*v) * root_scale + eps);
    }
}
