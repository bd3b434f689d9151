// RoIAlign. The points of a bin are near each other and read the same pixels, so the weights by which they do are added up
// first, apart along y and x: as a table of each RoI's bins by the map's rows, and one of them by its columns.

#include "common.cuh"

extern __shared__ unsigned char shared_bytes[];

#define COLUMNS 16            // of a row of the map in a block of the backward pass
#define NOT_READ ((Sum)-1)    // instead of the weight of a pixel between two that a bin reads
#define LARGEST_SIDE 65536.0  // of maps; a longer RoI is not read

// One thread a bin along one axis: its weights, and the first pixel that it reads and the last one and one more. `images`
// is that of each RoI, or −1 where it cannot be read.
KERNEL roi_align_weights(
    const double* rois, Sum* weights, int* ranges, int* images, int count, int batch, int height, int width, int bins_high,
    int bins_wide, double spatial_scale, int sampling_ratio
) {
    int bins = bins_high + bins_wide;
    for (Index i = thread_number(); i < (Index)count * bins; i += thread_count()) {
        const double* roi = rois + i / bins * 5;
        int bin = i % bins;
        bool along_y = bin < bins_high, readable = roi[0] >= 0 && roi[0] < batch;
        for (int k = 1; k < 5; k++) readable = readable && fabs(roi[k]) * spatial_scale <= LARGEST_SIDE;
        if (bin == 0) images[i / bins] = readable ? (int)roi[0] : -1;

        int size = along_y ? height : width, low = size, high = 0;
        Sum* own = weights + i / bins * ((Index)bins_high * height + (Index)bins_wide * width) +
            (along_y ? (Index)bin * height : (Index)bins_high * height + (Index)(bin - bins_high) * width);
        if (readable) {
            double start = roi[along_y ? 2 : 1] * spatial_scale - 0.5, stop = roi[along_y ? 4 : 3] * spatial_scale - 0.5;
            double length = (stop - start) / (along_y ? bins_high : bins_wide);
            int points = sampling_ratio ? sampling_ratio : (int)ceil(length > 0 ? length : 0);
            start += (along_y ? bin : bin - bins_high) * length;
            for (int point = 0; point < points; point++) {
                double place = start + (point + 0.5) * (length / points);
                if (!(place >= -1 && place <= size)) continue;
                place = place < 0 ? 0 : place > size - 1 ? size - 1 : place;
                int near = (int)place, far = near + 1 < size ? near + 1 : size - 1;
                if (low == size) low = high = near;
                for (int pixel = near; pixel < low; pixel++) own[pixel] = NOT_READ;
                for (int pixel = high; pixel <= far; pixel++) own[pixel] = NOT_READ;
                low = near < low ? near : low;
                high = far + 1 > high ? far + 1 : high;
                double share = place - near;
                own[near] = (own[near] < 0 ? 0 : own[near]) + (Sum)((1 - share) / points);
                own[far] = (own[far] < 0 ? 0 : own[far]) + (Sum)(share / points);
            }
        }
        ranges[2 * i] = low < high ? low : 0;
        ranges[2 * i + 1] = low < high ? high : 0;
    }
}

// A block is a bin of a RoI, a thread one of its channels.
KERNEL roi_align_forward(
    const Scalar* x, const Sum* weights, const int* ranges, const int* images, Scalar* y, int height, int width,
    int channels, int bins_high, int bins_wide
) {
    int bin = blockIdx.x % (bins_high * bins_wide), c = blockIdx.y * blockDim.x + threadIdx.x;
    Index roi = blockIdx.x / (bins_high * bins_wide);
    if (c >= channels) return;
    int i = bin / bins_wide, j = bin % bins_wide;
    const Sum* rows = weights + roi * ((Index)bins_high * height + (Index)bins_wide * width);
    const Sum* columns = rows + (Index)bins_high * height + (Index)j * width;
    const int* along_y = ranges + (roi * (bins_high + bins_wide) + i) * 2;
    const int* along_x = ranges + (roi * (bins_high + bins_wide) + bins_high + j) * 2;
    Sum total = images[roi] < 0 ? (Sum)nan("") : (Sum)0;
    rows += (Index)i * height;
    for (int row = along_y[0]; row < along_y[1]; row++) {
        if (rows[row] < 0) continue;
        const Scalar* pixels = x + ((Index)images[roi] * height + row) * width * channels + c;
        Sum of_row = 0;
        for (int column = along_x[0]; column < along_x[1]; column++)
            if (columns[column] >= 0) of_row += columns[column] * (Sum)pixels[(Index)column * channels];
        total += rows[row] * of_row;
    }
    y[(Index)blockIdx.x * channels + c] = (Scalar)total;
}

// A block is some columns of a row of a map, a thread one of its channels. It goes through all RoIs, so that those which
// overlap are added up in the same order each time. The threads look for RoIs that read the block's pixels, some each.
// Shared memory: COLUMNS numbers a thread, and an int.
KERNEL roi_align_backward(
    const Scalar* dy, const Sum* weights, const int* ranges, const int* images, Scalar* dx, int count, int height, int width,
    int channels, int bins_high, int bins_wide
) {
    Sum* totals = (Sum*)shared_bytes;
    int* found = (int*)(totals + COLUMNS * blockDim.x);
    int tiles = (width + COLUMNS - 1) / COLUMNS;
    int left = blockIdx.x % tiles * COLUMNS, row = blockIdx.x / tiles % height, image = blockIdx.x / tiles / height;
    int right = left + COLUMNS < width ? left + COLUMNS : width;
    int thread = threadIdx.x, c = blockIdx.y * blockDim.x + thread, bins = bins_high + bins_wide;
    for (int k = 0; k < COLUMNS; k++) totals[k * blockDim.x + thread] = 0;
    for (int first = 0; first < count; first += blockDim.x) {
        Index own = first + thread;
        bool reads_row = false, reads_columns = false;
        if (own < count && images[own] == image) {
            const int* range = ranges + own * bins * 2;
            for (int i = 0; i < bins_high; i++) reads_row = reads_row || (range[2 * i] <= row && row < range[2 * i + 1]);
            for (int j = bins_high; j < bins; j++)
                reads_columns = reads_columns || (range[2 * j] < right && left < range[2 * j + 1]);
        }
        __syncthreads();
        found[thread] = reads_row && reads_columns;
        __syncthreads();
        for (int k = 0; k < blockDim.x && c < channels; k++) {
            if (!found[k]) continue;
            Index roi = first + k;
            const int* range = ranges + roi * bins * 2;
            const Sum* rows = weights + roi * ((Index)bins_high * height + (Index)bins_wide * width);
            const Sum* columns = rows + (Index)bins_high * height;
            for (int i = 0; i < bins_high; i++) {
                if (row < range[2 * i] || row >= range[2 * i + 1] || rows[(Index)i * height + row] < 0) continue;
                for (int j = 0; j < bins_wide; j++) {
                    const int* along_x = range + (bins_high + j) * 2;
                    int stop = along_x[1] < right ? along_x[1] : right;
                    Sum value = 0;
                    if (along_x[0] < right && left < along_x[1])
                        value = rows[(Index)i * height + row] * (Sum)dy[((roi * bins_high + i) * bins_wide + j) * channels + c];
                    for (int column = along_x[0] > left ? along_x[0] : left; column < stop; column++) {
                        Sum weight = columns[(Index)j * width + column];
                        if (weight >= 0) totals[(column - left) * blockDim.x + thread] += weight * value;
                    }
                }
            }
        }
    }
    if (c < channels)
        for (int column = left; column < right; column++)
            dx[(((Index)image * height + row) * width + column) * channels + c] =
                (Scalar)totals[(column - left) * blockDim.x + thread];
}
