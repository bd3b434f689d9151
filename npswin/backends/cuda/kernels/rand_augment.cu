// RandAugment's fourteen operations on images of bytes; what they do is told in npswin/data/rand_augment.py, whose numbers
// these are: Pillow computes blends in float and cuts the fraction off, turns and shears in double. So
// nothing may be fused: it is compiled with --fmad=false.

#include "common.cuh"

typedef unsigned char Byte;

#define GREY 128
#define LEVELS 256
#define PI 3.14159265358979323846

enum Operation {
    IDENTITY, AUTO_CONTRAST, EQUALIZE, POSTERIZE, SOLARIZE, COLOR, CONTRAST, BRIGHTNESS, SHARPNESS, ROTATE, SHEAR_X, SHEAR_Y,
    TRANSLATE_X, TRANSLATE_Y
};

__device__ inline Byte cut(float value) { return value <= 0 ? 0 : value >= 255 ? 255 : (Byte)value; }

__device__ inline Byte blend(int from, int to, float amount) { return cut((float)from + amount * (float)(to - from)); }

// Luminance, (R, G, B) in 16 bits behind the point.
__device__ inline int grey_of(const Byte* image, int pixel, int pixels) {
    int sum = image[pixel] * 19595 + image[pixels + pixel] * 38470 + image[2 * pixels + pixel] * 7471;
    return (sum + 0x8000) >> 16;
}

// How often each level is there in a plane; all threads of the block call it.
__device__ inline void count_levels(const Byte* plane, int pixels, int* counts) {
    for (int level = threadIdx.x; level < LEVELS; level += blockDim.x) counts[level] = 0;
    __syncthreads();
    for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) atomicAdd(&counts[plane[pixel]], 1);
    __syncthreads();
}

// To what each level is mapped: stretched to 0..255.
__device__ inline void stretch(const int* counts, Byte* map) {
    int low = 0, high = LEVELS - 1;
    while (low < LEVELS - 1 && !counts[low]) low++;
    while (high > 0 && !counts[high]) high--;
    double scale = 255.0 / (high - low), offset = -low * scale;
    for (int level = 0; level < LEVELS; level++) {
        int value = high <= low ? level : (int)(level * scale + offset);
        map[level] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
}

// To what each level is mapped: each value as often as any other.
__device__ inline void flatten(const int* counts, Byte* map) {
    int total = 0, kinds = 0, last = 0;
    for (int level = 0; level < LEVELS; level++) {
        total += counts[level];
        kinds += counts[level] > 0;
        if (counts[level]) last = counts[level];
    }
    int step = kinds > 1 ? (total - last) / 255 : 0, before = step / 2;
    for (int level = 0; level < LEVELS; level++) {
        int value = step ? before / step : level;
        map[level] = value > 255 ? 255 : value;
        before += counts[level];
    }
}

// The value at (x, y) of a plane, between the four pixels around it; pixels have their centres at halves.
__device__ inline Byte between(const Byte* plane, int height, int width, double x, double y) {
    if (x < 0 || x >= width || y < 0 || y >= height) return GREY;
    x -= 0.5;
    y -= 0.5;
    int left = (int)floor(x), top = (int)floor(y);
    double across = x - left, down = y - top, value[2];
    for (int line = 0; line < 2; line++) {
        int row = top + line < 0 ? 0 : top + line >= height ? height - 1 : top + line;
        int first = left < 0 ? 0 : left, second = left + 1 >= width ? width - 1 : left + 1;
        double one = plane[row * width + first], other = plane[row * width + second];
        value[line] = one + (other - one) * across;
    }
    return (Byte)(value[0] + (value[1] - value[0]) * down);
}

// A block transforms one image, which alternates between two buffers, an operation at a time; block of any number of threads, grid (images).
// operations (images, count); signs of the same shape: 1 or -1; images and buffer (images, 3, height, width).
KERNEL rand_augment(
    Byte* images, Byte* buffer, const Index* operations, const Index* signs, int count, int height, int width, double strength
) {
    __shared__ int counts[LEVELS];
    __shared__ Byte map[LEVELS];
    __shared__ unsigned long long sum_of_greys;
    int pixels = height * width, size = 3 * pixels;
    Byte *from = images + (Index)blockIdx.x * size, *to = buffer + (Index)blockIdx.x * size;
    for (int number = 0; number < count; number++) {
        int operation = (int)operations[(Index)blockIdx.x * count + number];
        double amount = strength * (double)signs[(Index)blockIdx.x * count + number];
        float factor = (float)(1 + 0.9 * amount);
        double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;  // the affine maps: (x, y) from (a x + b y + c, d x + e y + f)
        if (operation == ROTATE) {
            // As Pillow computes it, so that the same pixels lie outside: counted from 0 to 360, rounded.
            double degrees = 30 * amount < 0 ? 30 * amount + 360 : 30 * amount, angle = -degrees * (PI / 180);
            a = e = rint(cos(angle) * 1e15) / 1e15;
            b = rint(sin(angle) * 1e15) / 1e15;
            d = -b;
            c = a * (-width / 2.0) + b * (-height / 2.0) + width / 2.0;
            f = d * (-width / 2.0) + e * (-height / 2.0) + height / 2.0;
        }
        if (operation == SHEAR_X) b = 0.3 * amount;
        if (operation == SHEAR_Y) d = 0.3 * amount;
        if (operation == TRANSLATE_X) c = 0.45 * amount * width;
        if (operation == TRANSLATE_Y) f = 0.45 * amount * height;
        if (operation == CONTRAST) {
            if (threadIdx.x == 0) sum_of_greys = 0;
            __syncthreads();
            unsigned long long own = 0;
            for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) own += grey_of(from, pixel, pixels);
            atomicAdd(&sum_of_greys, own);
            __syncthreads();
        }
        for (int channel = 0; channel < 3; channel++) {
            const Byte* plane = from + channel * pixels;
            Byte* result = to + channel * pixels;
            if (operation == AUTO_CONTRAST || operation == EQUALIZE) {
                count_levels(plane, pixels, counts);
                if (threadIdx.x == 0 && operation == EQUALIZE) flatten(counts, map);
                if (threadIdx.x == 0 && operation == AUTO_CONTRAST) stretch(counts, map);
                __syncthreads();
            }
            for (int pixel = threadIdx.x; pixel < pixels; pixel += blockDim.x) {
                int value = plane[pixel], x = pixel % width, y = pixel / width;
                if (operation == AUTO_CONTRAST || operation == EQUALIZE) {
                    result[pixel] = map[value];
                } else if (operation == POSTERIZE) {
                    result[pixel] = value & ~((1 << (int)rint(4 * fabs(amount))) - 1);
                } else if (operation == SOLARIZE) {
                    result[pixel] = value < (int)rint(LEVELS * (1 - fabs(amount))) ? value : 255 - value;
                } else if (operation == COLOR) {
                    result[pixel] = blend(grey_of(from, pixel, pixels), value, factor);
                } else if (operation == CONTRAST) {
                    result[pixel] = blend((int)((double)sum_of_greys / pixels + 0.5), value, factor);
                } else if (operation == BRIGHTNESS) {
                    result[pixel] = blend(0, value, factor);
                } else if (operation == SHARPNESS) {
                    int smooth = value;  // at the edges; elsewhere of the nine around it, the middle one five times
                    if (x > 0 && y > 0 && x < width - 1 && y < height - 1) {
                        int sum = 4 * value;
                        for (int near = 0; near < 9; near++) sum += plane[(y + near / 3 - 1) * width + x + near % 3 - 1];
                        smooth = (2 * sum + 13) / 26;
                    }
                    result[pixel] = blend(smooth, value, factor);
                } else if (operation >= ROTATE) {
                    double right = x + 0.5, low = y + 0.5;
                    result[pixel] = between(plane, height, width, a * right + b * low + c, d * right + e * low + f);
                } else {
                    result[pixel] = value;
                }
            }
            __syncthreads();
        }
        Byte* other = from;
        from = to;
        to = other;
    }
}
