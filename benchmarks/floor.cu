/* The least that one solve can cost on an NVIDIA GPU: floor.c in CUDA, one thread a scenario.
 *
 * Built once for each precision (-DREAL=double or float), with accurate mathematics.
 */
#include <cstdint>
#include <cuda_runtime.h>

constexpr int THREADS = 256, BLOCKS_PER_PROCESSOR = 16;

struct Law {
    REAL E, A, B, alpha, beta;
};

/* One step of Householder's method of third order on 1 - exp(-u) - exp(k - rate u), with sigma
 * = 1 - exp(-u) after it by a series, because a last step is small. */
template <typename T> __device__ T step(T u, T k, T rate, T &sigma) {
    const T before = -expm1(-u), first = 1 - before, second = exp(k - rate * u);
    const T f = before - second, d1 = first + rate * second;
    const T d2 = first + rate * rate * second, d3 = first + rate * rate * rate * second;
    const T h = f * (d1 * d1 + f * d2 * T(0.5)) /
                (d1 * (d1 * d1 + f * d2) + f * f * d3 * (T(1) / 6));
    sigma = before - first * h * (1 + h * T(0.5) * (1 + h * (T(1) / 3) * (1 + h * T(0.25))));
    return u - h;
}

__device__ void solve(const Law &law, REAL loss, REAL demand, REAL &params, REAL &tokens) {
    const REAL alpha = law.alpha, beta = law.beta, c = 1 / beta, rate = 1 + c;
    const REAL log_share = log(beta / (3 * (alpha + beta)));
    const float low_rate = rate, curve = low_rate * 1.64f * rsqrtf(1 + float(c) / 8);
    const REAL reducible = loss - law.E;
    const REAL log_base = log(law.B * ((alpha + beta) / alpha) / reducible) * c;
    const REAL k = log_share - log_base + log(demand);
    /* The start and the first step need not be exact. */
    const float low_k = k;
    float start = (low_k + sqrtf(low_k * low_k + curve)) * (0.5f / low_rate);
    float unused;
    start = step(fminf(start, expf(low_k)), low_k, low_rate, unused);
    REAL sigma;
    const REAL u = step(REAL(start), k, rate, sigma);
    params = exp(log(law.A * (alpha + beta) / (reducible * (beta + alpha * sigma))) / alpha);
    tokens = exp(log_base + u * c);
}

__global__ void solve_arrays(Law law, int64_t count, const REAL *loss, const REAL *demand,
                             REAL *params, REAL *tokens) {
    const int64_t stride = int64_t(gridDim.x) * blockDim.x;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
        solve(law, loss[i], demand[i], params[i], tokens[i]);
}

__global__ void solve_grid(Law law, int64_t count, int columns, REAL loss_start, REAL loss_step,
                           REAL log_start, REAL log_step, double *sums) {
    const int64_t stride = int64_t(gridDim.x) * blockDim.x;
    double all_params = 0, all_tokens = 0;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
        REAL params, tokens;
        const int row = i / columns, column = i % columns;
        solve(law, loss_start + loss_step * row, exp(log_start + log_step * column), params,
              tokens);
        all_params += params;
        all_tokens += tokens;
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        all_params += __shfl_down_sync(0xffffffff, all_params, lanes);
        all_tokens += __shfl_down_sync(0xffffffff, all_tokens, lanes);
    }
    if (threadIdx.x % 32 == 0) {
        atomicAdd(&sums[0], all_params);
        atomicAdd(&sums[1], all_tokens);
    }
}

static int blocks() {
    int device = 0, processors = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    return processors * BLOCKS_PER_PROCESSOR;
}

/* Every function returns a cudaError_t, 0 for success; pointers are to the GPU's memory unless
 * they say otherwise, and what is launched has ended on return. */
extern "C" {

int allocate(void **pointer, int64_t bytes) { return cudaMalloc(pointer, bytes); }

int fetch(void *on_host, const void *pointer, int64_t bytes) {
    return cudaMemcpy(on_host, pointer, bytes, cudaMemcpyDeviceToHost);
}

int materialised(const Law *law_on_host, int64_t count, const REAL *loss, const REAL *demand,
                 REAL *params, REAL *tokens) {
    solve_arrays<<<blocks(), THREADS>>>(*law_on_host, count, loss, demand, params, tokens);
    return cudaDeviceSynchronize();
}

int reduced(const Law *law_on_host, int64_t count, int64_t columns, const REAL *loss_axis_on_host,
            const REAL *demand_axis_on_host, double *sums, double *sums_on_host) {
    cudaMemset(sums, 0, 2 * sizeof(double));
    solve_grid<<<blocks(), THREADS>>>(*law_on_host, count, columns, loss_axis_on_host[0],
                                      loss_axis_on_host[1], demand_axis_on_host[0],
                                      demand_axis_on_host[1], sums);
    return fetch(sums_on_host, sums, 2 * sizeof(double));
}

const char *error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }
}
