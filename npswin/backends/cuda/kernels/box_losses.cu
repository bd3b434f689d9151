// Losses that are a weighted sum over pixels, boxes, or their entries. The forward kernels write each term, times its weight
// where there are weights; `factor` is the derivative of the loss over the divisor.

#include "common.cuh"

__device__ inline Sum weight_of(const Sum* weights, Index i) { return weights ? weights[i] : (Sum)1; }

// max(x, 0) + log(1 + exp(−|x|)) − t x
KERNEL sigmoid_cross_entropy_forward(const Scalar* x, const Sum* targets, const Sum* weights, Sum* losses, Index size) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum value = (Sum)x[i], positive = value < 0 ? 0 : value;
        losses[i] = weight_of(weights, i) * (positive + log1p(exp(-fabs(value))) - targets[i] * value);
    }
}

// σ(x) − t
KERNEL sigmoid_cross_entropy_backward(
    const Scalar* x, const Sum* targets, const Sum* weights, const Sum* factor, Scalar* dx, Index size
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum small = exp(-fabs((Sum)x[i])), sigmoid = ((Sum)x[i] > 0 ? 1 : small) / (1 + small);
        dx[i] = (Scalar)((sigmoid - targets[i]) * weight_of(weights, i) * *factor);
    }
}

// |x − t|
KERNEL l1_loss_forward(const Scalar* x, const Sum* targets, const Sum* weights, Sum* losses, Index size) {
    for (Index i = thread_number(); i < size; i += thread_count())
        losses[i] = weight_of(weights, i) * fabs((Sum)x[i] - targets[i]);
}

// sign(x − t), and NaN of NaN
KERNEL l1_loss_backward(
    const Scalar* x, const Sum* targets, const Sum* weights, const Sum* factor, Scalar* dx, Index size
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum difference = (Sum)x[i] - targets[i];
        Sum sign = difference > 0 ? 1 : difference < 0 ? -1 : difference;
        dx[i] = (Scalar)(sign * weight_of(weights, i) * *factor);
    }
}

// z² / 2β where |z| < β, else |z| − β/2
KERNEL smooth_l1_loss_forward(
    const Scalar* x, const Sum* targets, const Sum* weights, Sum* losses, Index size, double beta
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum z = fabs((Sum)x[i] - targets[i]), width = (Sum)beta;
        losses[i] = weight_of(weights, i) * (z < width ? z * (z / (2 * width)) : z - width / 2);
    }
}

// z / β where |z| < β, else sign(z)
KERNEL smooth_l1_loss_backward(
    const Scalar* x, const Sum* targets, const Sum* weights, const Sum* factor, Scalar* dx, Index size, double beta
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Sum slope = ((Sum)x[i] - targets[i]) / (Sum)beta;
        slope = slope > 1 ? 1 : slope < -1 ? -1 : slope;
        dx[i] = (Scalar)(slope * weight_of(weights, i) * *factor);
    }
}

// −log p_c = log Σ exp(x − the largest) − (x_c − the largest); a warp takes a row. A label that is no class gives NaN.
// `largest` and `totals` are the largest logit and the sum of a row.
KERNEL pixel_cross_entropy_forward(
    const Scalar* logits, const Index* labels, const Sum* weights, Sum* losses, Sum* largest, Sum* totals, Index rows,
    int classes, Index ignore_index
) {
    int lane = threadIdx.x % WARP;
    for (Index row = thread_number() / WARP; row < rows; row += thread_count() / WARP) {
        const Scalar* x = logits + row * classes;
        Index label = labels[row];
        Sum top = LOWEST, total = 0;
        for (int k = lane; k < classes; k += WARP) top = (Sum)x[k] > top ? (Sum)x[k] : top;
        top = warp_max(top);
        for (int k = lane; k < classes; k += WARP) total += exp((Sum)x[k] - top);
        total = warp_sum(total);
        if (lane > 0) continue;
        largest[row] = top;
        totals[row] = total;
        if (label == ignore_index) losses[row] = 0;
        else if (label < 0 || label >= classes) losses[row] = (Sum)nan("");
        else losses[row] = weight_of(weights, row) * (log(total) - ((Sum)x[label] - top));
    }
}

// p_k − [k = c]
KERNEL pixel_cross_entropy_backward(
    const Scalar* logits, const Index* labels, const Sum* weights, const Sum* largest, const Sum* totals,
    const Sum* factor, Scalar* dlogits, Index size, int classes, Index ignore_index
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        Index row = i / classes, label = labels[row];
        Sum p = exp((Sum)logits[i] - largest[row]) / totals[row];
        Sum value = (p - (i % classes == label ? 1 : 0)) * weight_of(weights, row) * *factor;
        if (label == ignore_index) value = 0;
        else if (label < 0 || label >= classes) value = (Sum)nan("");
        dlogits[i] = (Scalar)value;
    }
}

// A box and its target along one axis, and the sides that they make; see npswin/ops/giou_loss.py.
struct Sides {
    Sum own, target, inner, outer;
    bool low_is_inner, high_is_inner;
};

__device__ inline Sides sides(Sum low, Sum high, Sum target_low, Sum target_high) {
    Sides s;
    s.low_is_inner = low >= target_low;
    s.high_is_inner = high <= target_high;
    s.own = high - low;
    s.target = target_high - target_low;
    s.inner = (s.high_is_inner ? high : target_high) - (s.low_is_inner ? low : target_low);
    s.outer = (s.high_is_inner ? target_high : high) - (s.low_is_inner ? target_low : low);
    s.inner = s.inner < 0 ? 0 : s.inner;
    return s;
}

// I, U and E, of which the latter two are at least `least`.
struct Areas {
    Sum common, all, around;
};

__device__ inline Areas areas(Sides x, Sides y, Sum least) {
    Areas a;
    a.common = x.inner * y.inner;
    a.all = x.own * y.own + x.target * y.target - a.common;
    a.around = x.outer * y.outer;
    a.all = a.all < least ? least : a.all;
    a.around = a.around < least ? least : a.around;
    return a;
}

// 2 − I/U − U/E
KERNEL giou_loss_forward(
    const Scalar* boxes, const Sum* targets, const Sum* weights, Sum* losses, Index size, double least
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        const Scalar* box = boxes + 4 * i;
        const Sum* target = targets + 4 * i;
        Sides x = sides((Sum)box[0], (Sum)box[2], target[0], target[2]);
        Sides y = sides((Sum)box[1], (Sum)box[3], target[1], target[3]);
        Areas a = areas(x, y, (Sum)least);
        losses[i] = weight_of(weights, i) * (2 - a.common / a.all - a.all / a.around);
    }
}

KERNEL giou_loss_backward(
    const Scalar* boxes, const Sum* targets, const Sum* weights, const Sum* factor, Scalar* dboxes, Index size, double least
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        const Scalar* box = boxes + 4 * i;
        const Sum* target = targets + 4 * i;
        Sides x = sides((Sum)box[0], (Sum)box[2], target[0], target[2]);
        Sides y = sides((Sum)box[1], (Sum)box[3], target[1], target[3]);
        Areas a = areas(x, y, (Sum)least);
        Sum scale = weight_of(weights, i) * *factor;
        Sum dunion = a.all > (Sum)least ? a.common / (a.all * a.all) - 1 / a.around : 0;
        Sum dcommon = (-1 / a.all - dunion) * scale;
        Sum daround = a.around > (Sum)least ? a.all / (a.around * a.around) * scale : 0;
        for (int axis = 0; axis < 2; axis++) {
            Sides along = axis ? y : x, across = axis ? x : y;
            Sum down = dunion * scale * across.own, douter = daround * across.outer;
            Sum dinner = dcommon * (along.inner > 0 ? across.inner : 0);
            dboxes[4 * i + axis] = (Scalar)(-down - (along.low_is_inner ? dinner : douter));
            dboxes[4 * i + 2 + axis] = (Scalar)(down + (along.high_is_inner ? dinner : douter));
        }
    }
}
