"""The losses that sizes of models and lengths of training lead one to expect, roughly."""

import numpy as np

# Besiroglu et al. 2024, abstract. Median losses of published tables in nats per token are 0.85 to
# 1.22 times as large; no single run of 100M params or more is below 0.7 times.
E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658


def excess(params: np.ndarray, tokens: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Logarithm of each loss over the one that is expected of its params and tokens."""
    expected = E + A * np.power(params, -ALPHA) + B * np.power(tokens, -BETA)
    return np.log(loss) - np.log(expected)
