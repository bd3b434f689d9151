// CUDA's threads on a CPU, so that a kernel's source can be executed and its results tested.
//
// A block's threads are fibers: one runs until it waits for others, at a barrier or in a shuffle, then the next. Blocks run
// one after the other, in one of three orders of their warps. A barrier that not all of a block's threads reach is an
// error, as it would be undefined on a GPU.

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

using std::erfc;
using std::exp;
using std::isfinite;
using std::log;
using std::pow;
using std::sqrt;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__ thread_local  // of a block; only one block runs at a time

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

namespace shim {

const int WARP_SIZE = 32;
const size_t STACK = 256 * 1024, SHARED = 256 * 1024;

enum State { READY, AT_BLOCK, AT_WARP, FINISHED };

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    State state;
    bool started = false;  // it has a context, in which it runs one block's thread after another
    dim3 index;
    std::unique_ptr<char[]> stack{new char[STACK]};  // not set to zero: most of it is never touched
};

inline std::vector<Fiber> fibers;
inline Fiber* running;
inline jmp_buf scheduler;
inline dim3 grid, block, block_index;
inline uint64_t exchanged[1024];
inline void (*body)(void*);
inline void* body_argument;

inline void wait(State state) {
    Fiber* own = running;
    own->state = state;
    if (!_setjmp(own->place)) _longjmp(scheduler, 1);
}

inline void enter() {
    for (;;) {
        body(body_argument);
        wait(FINISHED);
    }
}

inline void resume(Fiber& fiber) {
    running = &fiber;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    setcontext(&fiber.context);
}

// Resumes the threads of a group if all have reached the barrier.
inline bool release(size_t first, size_t stop, State barrier) {
    for (size_t i = first; i < stop; i++)
        if (fibers[i].state != barrier) return false;
    for (size_t i = first; i < stop; i++) fibers[i].state = READY;
    return true;
}

// The order in which a block's warps run: each up to its next barrier before the next begins, from the first or from the
// last, which reveals missing barriers; or interleaved, which reveals memory that warps must not share.
enum Order { FIRST_TO_LAST, LAST_TO_FIRST, INTERLEAVED };

// Runs a warp until each of its threads is finished or waits; returns whether any thread made progress.
inline bool run_warp(size_t first, size_t stop, Order order) {
    bool progress = false;
    do {
        for (size_t step = first; step < stop; step++) {
            size_t i = order == LAST_TO_FIRST ? first + stop - 1 - step : step;
            if (fibers[i].state == READY) {
                resume(fibers[i]);
                progress = true;
            }
        }
    } while (release(first, stop, AT_WARP) && order != INTERLEAVED);
    return progress;
}

// 0, or 1 if some threads wait at a barrier that others never reach.
inline int run_block(size_t threads, Order order) {
    if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
    for (size_t i = 0; i < threads; i++) {
        unsigned number = i;
        fibers[i].index = {number % block.x, number / block.x % block.y, number / (block.x * block.y)};
        fibers[i].state = READY;
    }
    size_t warps = (threads + WARP_SIZE - 1) / WARP_SIZE;
    for (;;) {
        bool progress = false, finished = true;
        for (size_t step = 0; step < warps; step++) {
            size_t first = (order == LAST_TO_FIRST ? warps - 1 - step : step) * WARP_SIZE;
            progress |= run_warp(first, std::min(threads, first + WARP_SIZE), order);
        }
        for (size_t i = 0; i < threads; i++) finished &= fibers[i].state == FINISHED;
        if (finished) return 0;
        progress |= release(0, threads, AT_BLOCK);
        if (!progress) {
            for (size_t i = 0; i < threads; i++) fibers[i].started = false;  // some are left in the middle of a thread
            return 1;
        }
    }
}

inline unsigned lane() { return (running - fibers.data()) % WARP_SIZE; }

template <class T>
T exchange(T value, unsigned from) {
    unsigned thread = running - fibers.data();
    memcpy(&exchanged[thread], &value, sizeof value);
    wait(AT_WARP);
    memcpy(&value, &exchanged[thread - lane() + from], sizeof value);
    wait(AT_WARP);
    return value;
}

template <class... Args, size_t... Places>
int launch(void (*kernel)(Args...), void** args, std::index_sequence<Places...>) {
    struct Call {
        void (*kernel)(Args...);
        std::tuple<Args...> args;
    } call = {kernel, {*static_cast<Args*>(args[Places])...}};
    body = [](void* argument) {
        Call* call = static_cast<Call*>(argument);
        std::apply(call->kernel, call->args);
    };
    body_argument = &call;
    size_t threads = size_t(block.x) * block.y * block.z;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                block_index = {x, y, z};
                if (run_block(threads, Order((x + y + z) % 3))) return 1;
            }
    return 0;
}

template <class... Args>
int launch(void (*kernel)(Args...), const unsigned* shape, void** args) {
    grid = {shape[0], shape[1], shape[2]};
    block = {shape[3], shape[4], shape[5]};
    return launch(kernel, args, std::index_sequence_for<Args...>());
}

}  // namespace shim

#define threadIdx (shim::running->index)
#define blockIdx (shim::block_index)
#define blockDim (shim::block)
#define gridDim (shim::grid)

inline void __syncthreads() { shim::wait(shim::AT_BLOCK); }
inline void __syncwarp() { shim::wait(shim::AT_WARP); }

template <class T>
T atomicAdd(T* place, T value) {  // threads are fibers, so it is atomic
    T before = *place;
    *place += value;
    return before;
}

inline float rsqrtf(float value) { return 1 / std::sqrt(value); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int distance) {
    return shim::exchange(value, shim::lane() ^ distance);
}

alignas(16) thread_local unsigned char shared_bytes[shim::SHARED];

// Numbers of 16 bits; rounding is to the nearest, ties to even.
inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    explicit __nv_bfloat16(float value) {
        uint32_t whole = bits_of(value);
        bits = std::isnan(value) ? 0x7fff : (whole + 0x7fff + (whole >> 16 & 1)) >> 16;
    }
    operator float() const { return float_of(uint32_t(bits) << 16); }
};

struct __half {
    uint16_t bits;
    __half() = default;
    explicit __half(float value) {
        uint32_t sign = bits_of(value) >> 16 & 0x8000;
        float size = std::fabs(value);
        if (std::isnan(value))
            bits = 0x7fff;
        else if (size >= 65520)
            bits = sign | 0x7c00;
        else if (size < float_of(0x38800000))  // below 2^-14: multiples of 2^-24
            bits = sign | uint32_t(std::nearbyint(size * 16777216.0f));
        else {
            uint32_t whole = bits_of(size);
            bits = sign | ((whole + 0xfff + (whole >> 13 & 1)) >> 13) - (112 << 10);
        }
    }
    operator float() const {
        uint32_t sign = uint32_t(bits & 0x8000) << 16, size = bits & 0x7fff;
        if (size >= 0x7c00) return float_of(sign | 0x7f800000 | size << 13);
        if (size < 0x400) return float_of(sign | bits_of(size / 16777216.0f));
        return float_of(sign | (size + (112 << 10)) << 13);
    }
};

// Tensor cores; mma.cuh describes which numbers each lane holds.
#define MMA_IS_EMULATED

// A float32 with a fraction of 10 bits; rounding is to the nearest, ties away from zero.
inline unsigned shortened(float value) { return std::isnan(value) ? 0x7fffffff : (bits_of(value) + 0x1000) & ~0x1fffu; }

#if defined(SCALAR_FLOAT)
inline float operand(unsigned bits, int) {
    if (bits & 0x1fff) abort();  // was not shortened
    return float_of(bits);
}
const int DEPTH_OF_MMA = 8, NUMBERS = 1;
#else
#if defined(SCALAR_HALF)
typedef __half Short;
#else
typedef __nv_bfloat16 Short;
#endif
inline float operand(unsigned pair, int which) {
    Short value;
    value.bits = pair >> 16 * which;
    return value;
}
const int DEPTH_OF_MMA = 16, NUMBERS = 2;
#endif

// Each of 4 neighbours has NUMBERS of a row of the left matrix, and then as many half its depth further on.
inline void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    static unsigned operands[1024][6];
    unsigned thread = shim::running - shim::fibers.data(), lane = shim::lane(), warp = thread - lane;
    memcpy(operands[thread], a, sizeof a);
    memcpy(operands[thread] + 4, b, sizeof b);
    shim::wait(shim::AT_WARP);
    for (int e = 0; e < 4; e++) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        for (int k = 0; k < DEPTH_OF_MMA; k++) {
            int half = k / (DEPTH_OF_MMA / 2), neighbour = k % (DEPTH_OF_MMA / 2) / NUMBERS, which = k % NUMBERS;
            const unsigned* left = operands[warp + row % 8 * 4 + neighbour];
            const unsigned* right = operands[warp + column * 4 + neighbour];
            d[e] += operand(left[half * 2 + row / 8], which) * operand(right[4 + half], which);
        }
    }
    shim::wait(shim::AT_WARP);
}
