// Boxes x₁, y₁, x₂, y₂: overlaps, non-maximum suppression, deltas, and masks pasted into the image.

#include "common.cuh"

typedef unsigned char Byte;

extern __shared__ unsigned char shared_bytes[];

#define WORD 64  // boxes that a word of the table of suppressions stands for

__device__ inline Sum larger(Sum a, Sum b) { return a > b ? a : b; }
__device__ inline Sum smaller(Sum a, Sum b) { return a < b ? a : b; }

__device__ inline Sum overlap(const Scalar* a, const Scalar* b) {
    Sum wide = smaller((Sum)a[2], (Sum)b[2]) - larger((Sum)a[0], (Sum)b[0]);
    Sum high = smaller((Sum)a[3], (Sum)b[3]) - larger((Sum)a[1], (Sum)b[1]);
    Sum common = larger(wide, 0) * larger(high, 0);
    Sum area = ((Sum)a[2] - (Sum)a[0]) * ((Sum)a[3] - (Sum)a[1]), other = ((Sum)b[2] - (Sum)b[0]) * ((Sum)b[3] - (Sum)b[1]);
    Sum all = area + other - common;
    return all != 0 ? common / all : (Sum)0;
}

// iou (n, m)
KERNEL box_iou(const Scalar* a, const Scalar* b, Scalar* iou, Index size, int columns) {
    for (Index i = thread_number(); i < size; i += thread_count())
        iou[i] = (Scalar)overlap(a + i / columns * 4, b + i % columns * 4);
}

// Of boxes by falling score, which later ones of its group each would suppress: a bit each, a thread a word.
KERNEL nms_suppressions(
    const Scalar* boxes, const Index* groups, unsigned long long* suppressed, int count, double iou_threshold
) {
    int words = (count + WORD - 1) / WORD;
    for (Index i = thread_number(); i < (Index)count * words; i += thread_count()) {
        int box = i / words, first = i % words * WORD;
        unsigned long long bits = 0;
        for (int k = first > box ? 0 : box + 1 - first; k < WORD && first + k < count; k++)
            if ((!groups || groups[first + k] == groups[box]) &&
                overlap(boxes + 4 * box, boxes + 4 * (first + k)) > (Sum)iou_threshold)
                bits |= 1ull << k;
        suppressed[i] = bits;
    }
}

// Which boxes are kept, one after the other, by one block; shared memory: a word for each 64 boxes.
KERNEL nms_keep(const unsigned long long* suppressed, Byte* kept, int count) {
    unsigned long long* removed = (unsigned long long*)shared_bytes;
    int words = (count + WORD - 1) / WORD;
    for (int word = threadIdx.x; word < words; word += blockDim.x) removed[word] = 0;
    __syncthreads();
    for (int box = 0; box < count; box++) {
        bool keep = !(removed[box / WORD] >> box % WORD & 1);
        __syncthreads();
        if (threadIdx.x == 0) kept[box] = keep;
        if (keep)
            for (int word = box / WORD + threadIdx.x; word < words; word += blockDim.x)
                removed[word] |= suppressed[(Index)box * words + word];
        __syncthreads();
    }
}

// See npswin/ops/decode_boxes.py; `deviations` are those of dx, dy, dw and dh. One thread a box and an axis.
KERNEL decode_boxes_forward(
    const Scalar* deltas, const Sum* boxes, Scalar* decoded, Index size, double deviation_x, double deviation_y,
    double deviation_w, double deviation_h, double limit
) {
    for (Index i = thread_number(); i < 2 * size; i += thread_count()) {
        int axis = i % 2;
        Index place = i / 2 * 4 + axis;
        Sum low = boxes[place], high = boxes[place + 2], side = high - low;
        Sum move = (Sum)deltas[place] * (Sum)(axis ? deviation_y : deviation_x);
        Sum ratio = (Sum)deltas[place + 2] * (Sum)(axis ? deviation_h : deviation_w);
        ratio = ratio > (Sum)limit ? (Sum)limit : ratio < -(Sum)limit ? -(Sum)limit : ratio;
        Sum centre = (low + high) / 2 + side * move, half = side * exp(ratio) / 2;
        decoded[place] = (Scalar)(centre - half);
        decoded[place + 2] = (Scalar)(centre + half);
    }
}

KERNEL decode_boxes_backward(
    const Scalar* dy, const Scalar* deltas, const Sum* boxes, Scalar* ddeltas, Index size, double deviation_x,
    double deviation_y, double deviation_w, double deviation_h, double limit
) {
    for (Index i = thread_number(); i < 2 * size; i += thread_count()) {
        int axis = i % 2;
        Index place = i / 2 * 4 + axis;
        Sum side = boxes[place + 2] - boxes[place];
        Sum of_move = (Sum)(axis ? deviation_y : deviation_x), of_ratio = (Sum)(axis ? deviation_h : deviation_w);
        Sum ratio = (Sum)deltas[place + 2] * of_ratio, dlow = (Sum)dy[place], dhigh = (Sum)dy[place + 2];
        Sum dratio = fabs(ratio) > (Sum)limit ? 0 : side * exp(ratio);
        ddeltas[place] = (Scalar)((dlow + dhigh) * side * of_move);
        ddeltas[place + 2] = (Scalar)((dhigh - dlow) / 2 * dratio * of_ratio);
    }
}

KERNEL encode_boxes(
    const Scalar* boxes, const Scalar* targets, Scalar* deltas, Index size, double deviation_x, double deviation_y,
    double deviation_w, double deviation_h
) {
    for (Index i = thread_number(); i < 2 * size; i += thread_count()) {
        int axis = i % 2;
        Index place = i / 2 * 4 + axis;
        Sum low = (Sum)boxes[place], high = (Sum)boxes[place + 2];
        Sum target_low = (Sum)targets[place], target_high = (Sum)targets[place + 2];
        Sum move = ((target_low + target_high) / 2 - (low + high) / 2) / (high - low);
        Sum ratio = log((target_high - target_low) / (high - low));
        deltas[place] = (Scalar)(move / (Sum)(axis ? deviation_y : deviation_x));
        deltas[place + 2] = (Scalar)(ratio / (Sum)(axis ? deviation_h : deviation_w));
    }
}

// A value of a mask, 0 around it.
__device__ inline Sum cell(const Scalar* mask, int row, int column, int high, int wide) {
    return row < 0 || row >= high || column < 0 || column >= wide ? (Sum)0 : (Sum)mask[row * wide + column];
}

// One thread a pixel of an image (n, height, width); see npswin/ops/paste_masks.py.
KERNEL paste_masks(
    const Scalar* masks, const double* boxes, Byte* pasted, Index size, int high, int wide, int height, int width,
    double threshold
) {
    for (Index i = thread_number(); i < size; i += thread_count()) {
        const double* box = boxes + i / ((Index)height * width) * 4;
        const Scalar* mask = masks + i / ((Index)height * width) * high * wide;
        double along_y = (i / width % height + 0.5 - box[1]) * (high / (box[3] - box[1])) - 0.5;
        double along_x = (i % width + 0.5 - box[0]) * (wide / (box[2] - box[0])) - 0.5;
        pasted[i] = 0;
        bool is_box = box[0] < box[2] && box[1] < box[3] && isfinite(box[2] - box[0]) && isfinite(box[3] - box[1]);
        if (!is_box || !(along_y > -1 && along_y < high && along_x > -1 && along_x < wide)) continue;
        int row = (int)floor(along_y), column = (int)floor(along_x);
        Sum lower = (Sum)(along_y - row), right = (Sum)(along_x - column);
        Sum at_left = (1 - lower) * cell(mask, row, column, high, wide) + lower * cell(mask, row + 1, column, high, wide);
        Sum at_right = (1 - lower) * cell(mask, row, column + 1, high, wide) + lower * cell(mask, row + 1, column + 1, high, wide);
        pasted[i] = (1 - right) * at_left + right * at_right >= (Sum)threshold;
    }
}
