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

/* Not inlined: the compiler would cancel the logarithm of a demand against the exponential
 * that made it, which no array of demands allows. */
__attribute__((noinline)) static void solve(const Law *law, size_t count,
                                            const REAL *restrict loss,
                                            const REAL *restrict demand,
                                            REAL *restrict params, REAL *restrict tokens) {
    const REAL one = 1, half = (REAL)0.5;
    const REAL E = law->E, alpha = law->alpha, beta = law->beta, c = one / beta, rate = one + c;
    const REAL base = law->B * ((alpha + beta) / alpha), size = law->A * (alpha + beta);
    const REAL log_share = log(beta / (3 * (alpha + beta))), inverse_alpha = one / alpha;
    const REAL curve = (REAL)1.64 / sqrt(one + c / 8), right = half / rate, left = half * curve;
    const REAL rate2 = rate * rate, rate3 = rate2 * rate;
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        REAL reducible = loss[i] - E;
        REAL log_base = log(base / reducible) * c;
        REAL k = log_share - log_base + log(demand[i]);
        REAL sum = fabs(k) + sqrt(k * k + rate * curve);
        REAL u = k > 0 ? sum * right : left / sum, most = exp(k);
        u = u < most ? u : most;
        for (int step = 0; step < 2; step++) {
            REAL sigma = -expm1(-u), first = one - sigma, second = exp(k - rate * u);
            REAL f = sigma - second, d1 = first + rate * second;
            REAL d2 = first + rate2 * second, d3 = first + rate3 * second;
            u -= f * (d1 * d1 + f * d2 * half) /
                 (d1 * (d1 * d1 + f * d2) + f * f * d3 * (one / 6));
        }
        REAL sigma = -expm1(-u);
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
