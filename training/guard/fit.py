"""Logistic regression on sparse rows, and what its scores are worth."""

import numba
import numpy as np

ROUNDS = 4


@numba.njit(cache=True, fastmath=False)
def descend(order, pointers, indices, values, sign, weight, strength, theta, slopes, bias):
    """One round of Adagrad over the rows in `order`; `bias` is `[bias, sum of squared slopes]`."""
    for row in order:
        first, last = pointers[row], pointers[row + 1]
        margin = bias[0]
        for k in range(first, last):
            margin += theta[indices[k]] * values[k]
        margin *= sign[row]
        slope = -weight[row] * sign[row] / (1.0 + np.exp(margin))
        for k in range(first, last):
            j = indices[k]
            step = slope * values[k] + strength * theta[j]
            slopes[j] += step * step
            theta[j] -= 0.5 * step / np.sqrt(slopes[j])
        bias[1] += slope * slope
        bias[0] -= 0.1 * slope / np.sqrt(bias[1])


def fit(matrix, label: np.ndarray, weight: np.ndarray, strength: float, rounds: int = ROUNDS) -> tuple[np.ndarray, float]:
    """Weights and bias that lower the weighted log-loss plus `strength` times half the squares of the weights of a row."""
    sign = np.where(label, 1.0, -1.0).astype(np.float32)
    weight = (weight / weight.mean()).astype(np.float32)
    theta = np.zeros(matrix.shape[1], dtype=np.float32)
    slopes = np.full(matrix.shape[1], 1e-4, dtype=np.float32)
    bias = np.array([0.0, 1e-4], dtype=np.float64)
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        order = rng.permutation(matrix.shape[0])
        descend(order, matrix.indptr, matrix.indices, matrix.data, sign, weight, np.float32(strength), theta, slopes, bias)
    return theta, float(bias[0])


def highest(score: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray:
    """The highest score of the windows of each row."""
    out = np.full(rows, -np.inf)
    np.maximum.at(out, row, score)
    return out


def threshold(benign: np.ndarray, rate: float) -> float:
    """Above which at most this part of harmless scores lie."""
    ordered = np.sort(benign)[::-1]
    return float(ordered[min(len(ordered) - 1, int(rate * len(ordered)))])


def auc(attack: np.ndarray, benign: np.ndarray) -> float:
    """Probability that an attack scores above a harmless text; ties count half."""
    both = np.concatenate((attack, benign))
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[: len(attack)].sum() - len(attack) * (len(attack) + 1) / 2) / (len(attack) * len(benign)))
