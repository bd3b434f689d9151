// Elementwise ops, fused with their neighbours in a branch: a bias before, a residual connection after.

#include "common.cuh"

// Φ(x), the normal distribution function, and φ(x), its derivative.
__device__ inline Sum normal_cdf(Sum x) { return (Sum)0.5 * erfc(-x * (Sum)0.70710678118654752440); }
__device__ inline Sum normal_density(Sum x) { return (Sum)0.39894228040143267794 * exp((Sum)-0.5 * x * x); }

// h ← h + bias, y = h Φ(h); bias may be null.
KERNEL gelu_forward(Scalar* h, const Sum* bias, Scalar* y, Index size, int channels) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum value = (Sum)h[i];
        if (bias) {
            value += bias[i % channels];
            h[i] = (Scalar)value;
        }
        y[i] = (Scalar)(value * normal_cdf(value));
    }
}

// dx = dy (Φ(x) + x φ(x)); dx may be dy.
KERNEL gelu_backward(const Scalar* dy, const Scalar* x, Scalar* dx, Index size) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum value = (Sum)x[i];
        dx[i] = (Scalar)((Sum)dy[i] * (normal_cdf(value) + value * normal_density(value)));
    }
}

// y = x where `sign` is positive or NaN, else 0.
KERNEL where_positive(const Scalar* sign, const Scalar* x, Scalar* y, Index size) {
    for (Index i = thread_number(); i < size; i += thread_count()) y[i] = (Sum)sign[i] <= 0 ? (Scalar)(Sum)0 : x[i];
}

// y = shortcut + s · (branch + bias), s one number an image; shortcut, bias and scale may be null.
KERNEL residual_forward(
    const Scalar* shortcut, const Scalar* branch, const Sum* bias, const Scalar* scale, Scalar* y, Index size,
    int channels, Index per_image
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum value = (Sum)branch[i];
        if (bias) value += bias[i % channels];
        if (scale) value *= (Sum)scale[i / per_image];
        if (shortcut) value += (Sum)shortcut[i];
        y[i] = (Scalar)value;
    }
}

// y = x · factor, with one factor for each `repeat` numbers.
KERNEL multiply(const Scalar* x, const Scalar* factor, Scalar* y, Index size, Index repeat) {
    for (Index i = thread_number(); i < size; i += thread_count()) y[i] = (Scalar)((Sum)x[i] * (Sum)factor[i / repeat]);
}

// A mask of zeros, and 1/keep_probability where a uniform number is below keep_probability.
KERNEL draw_mask(const Sum* uniform, Scalar* mask, Index size, Sum keep_probability) {
    for (Index i = thread_number(); i < size; i += thread_count())
        mask[i] = uniform[i] < keep_probability ? (Scalar)(1 / keep_probability) : (Scalar)(Sum)0;
}
