/* The least that one solve can cost on this processor: the algorithm of
 * jaxscale/solve/root.py, with nothing checked, no status and no derivatives.
 *
 * Built once for each precision (-DREAL=double or float). Every exponential and logarithm
 * is a vector call into libmvec, which floor.py confirms before it times anything.
 */
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>

#define BLOCK 1024 /* scenarios that stay in the first-level cache */

typedef struct {
    REAL E, A, B, alpha, beta;
} Law;

/* One step of Householder's method of third order on 1 - exp(-u) - exp(k - rate u), with sigma
 * = 1 - exp(-u) before it and after it: the latter by a series, because a last step is small. */
#define STEP(TYPE, u, sigma, k, rate, rate2, rate3)                                      \
    do {                                                                                 \
        TYPE before = -expm1(-(u)), first = 1 - before, second = exp((k) - (rate) * (u)); \
        TYPE f = before - second, d1 = first + (rate) * second;                          \
        TYPE d2 = first + (rate2) * second, d3 = first + (rate3) * second;               \
        TYPE h = f * (d1 * d1 + f * d2 * (TYPE)0.5) /                                    \
                 (d1 * (d1 * d1 + f * d2) + f * f * d3 * ((TYPE)1 / 6));                 \
        TYPE share = -h * (1 + h / 2 * (1 + h / 3 * (1 + h / 4)));                       \
        (u) -= h;                                                                        \
        (sigma) = before + first * share;                                                \
    } while (0)

/* Not inlined: the compiler would cancel the logarithm of a demand against the exponential
 * that made it, which no array of demands allows. */
__attribute__((noinline)) static void solve(const Law *law, size_t count,
                                            const REAL *restrict loss,
                                            const REAL *restrict demand,
                                            REAL *restrict params, REAL *restrict tokens) {
    const REAL one = 1;
    const REAL E = law->E, alpha = law->alpha, beta = law->beta, c = one / beta, rate = one + c;
    const REAL base = law->B * ((alpha + beta) / alpha), size = law->A * (alpha + beta);
    const REAL log_share = log(beta / (3 * (alpha + beta))), inverse_alpha = one / alpha;
    const REAL rate2 = rate * rate, rate3 = rate2 * rate;
    /* The start and the first step need not be exact. */
    const float low_rate = rate, low_rate2 = rate2, low_rate3 = rate3;
    const float curve = low_rate * 1.64f / sqrtf(1 + (float)c / 8), half = 0.5f / low_rate;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        REAL reducible = loss[i] - E;
        REAL log_base = log(base / reducible) * c;
        REAL k = log_share - log_base + log(demand[i]);
        float low_k = (float)k, most = expf(low_k);
        float start = (low_k + sqrtf(low_k * low_k + curve)) * half;
        start = start < most ? start : most;
        float unused;
        STEP(float, start, unused, low_k, low_rate, low_rate2, low_rate3);
        REAL u = start, sigma;
        STEP(REAL, u, sigma, k, rate, rate2, rate3);
        params[i] = exp(log(size / (reducible * (beta + alpha * sigma))) * inverse_alpha);
        tokens[i] = exp(log_base + u * c);
    }
}

void materialised(const Law *law, int threads, int64_t count, const REAL *loss,
                  const REAL *demand, REAL *params, REAL *tokens) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t at = 0; at < count; at += BLOCK) {
        size_t here = count - at < BLOCK ? count - at : BLOCK;
        solve(law, here, loss + at, demand + at, params + at, tokens + at);
    }
}

/* Scenario `index` of a grid with `columns` demands to each loss, the demands evenly spaced
 * in their logarithm; `columns` is a multiple of BLOCK. The sums of params and of tokens. */
void reduced(const Law *law, int threads, int64_t count, int64_t columns,
             const REAL *restrict loss_axis, const REAL *restrict demand_axis, double *sums) {
    const REAL loss_start = loss_axis[0], loss_step = loss_axis[1];
    const REAL log_start = demand_axis[0], log_step = demand_axis[1];
    double all_params = 0, all_tokens = 0;
#pragma omp parallel for num_threads(threads) schedule(static) \
    reduction(+ : all_params, all_tokens)
    for (int64_t at = 0; at < count; at += BLOCK) {
        REAL loss[BLOCK], demand[BLOCK], params[BLOCK], tokens[BLOCK];
        const int row = at / columns, column = at % columns;
        for (int i = 0; i < BLOCK; i++) {
            loss[i] = loss_start + loss_step * row;
            demand[i] = exp(log_start + log_step * (column + i));
        }
        solve(law, BLOCK, loss, demand, params, tokens);
        REAL block_params = 0, block_tokens = 0;
        for (int i = 0; i < BLOCK; i++) {
            block_params += params[i];
            block_tokens += tokens[i];
        }
        all_params += block_params;
        all_tokens += block_tokens;
    }
    sums[0] = all_params;
    sums[1] = all_tokens;
}
