"""What a set of labelled vectors teaches: the softmax classifier they determine, and how right it is."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

ROWS = 2048  # of vectors, to a multiple of which they are filled up: few programs are compiled
ITERATIONS = 200
NEVER = -1e9  # logit of a class that is not answered
TOLERANCE = 1e-4  # of the gradient's norm, as a part of what it is at first


class Softmax(NamedTuple):
    """Logits x @ kernel + bias of vectors x [N D]: kernel float32 [D C], bias float32 [C]."""

    kernel: jax.Array
    bias: jax.Array

    def logits(self, vectors: Any) -> np.ndarray:
        """[N D] -> [N C]."""
        return np.asarray(vectors, np.float32) @ np.asarray(self.kernel) + np.asarray(self.bias)


def fit_softmax(
    vectors: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    weights: np.ndarray | None = None,
    decay: float = 1e-3,
    allowed: np.ndarray | None = None,
    attributes: np.ndarray | None = None,
) -> Softmax:
    """The classifier that minimises the mean cross entropy plus decay / 2 * |kernel|^2.

    Over classes that have rows. There is exactly one (but for what shifts all their logits alike), so nothing
    depends on a seed, an order or a rate; found by L-BFGS from zero. With `attributes` a class's logit is the
    sum of its attributes', each of which has a column of the kernel (of which then |kernel|^2 is): what a
    vector says for an attribute is learnt from all classes that have it, and said of classes without rows,
    too (a label embedding, arXiv 1503.08677, eq. 3).

    Args:
      vectors: [N D], best of mean 0 and deviation 1.
      labels: int [N]; or float [N C], the part of each class, as mixup makes it.
      weights: [N], how much each row counts; all alike by default.
      allowed: bool [C], classes that may be answered; of those without rows only with attributes. By default
        all that have rows, or, with attributes, all.
      attributes: [C A], what each class is like.
    """
    count = -(-len(vectors) // ROWS) * ROWS
    x = np.zeros((count, vectors.shape[1]), np.float32)
    x[: len(vectors)] = vectors
    targets, share = np.zeros((count, classes), np.float32), np.zeros(count, np.float32)
    targets[: len(vectors)] = labels if np.ndim(labels) == 2 else np.eye(classes, dtype=np.float32)[labels]
    share[: len(vectors)] = 1.0 if weights is None else weights
    there = (share[:, None] * targets).sum(0) > 0
    learnt, table = np.where(there, 0.0, NEVER).astype(np.float32), None
    if attributes is not None:
        table = jnp.asarray(attributes, jnp.float32)
    kernel, bias = _fit(x, targets, share / share.sum(), learnt, jnp.float32(decay), table)
    if table is None:
        answered = there if allowed is None else there & np.asarray(allowed, bool)
    else:
        kernel, bias = kernel @ table.T, bias @ table.T
        answered = np.ones(classes, bool) if allowed is None else np.asarray(allowed, bool)
    return Softmax(np.asarray(kernel), np.where(answered, np.asarray(bias), NEVER).astype(np.float32))


@jax.jit
def _fit(x, targets, share, masked, decay, table):
    def loss(params):
        kernel, bias = params
        logits = x @ kernel + bias
        log_p = jax.nn.log_softmax((logits if table is None else logits @ table.T) + masked)
        return -(share * (targets * log_p).sum(1)).sum() + 0.5 * decay * jnp.square(kernel).sum()

    optimizer, evaluate = optax.lbfgs(), optax.value_and_grad_from_state(loss)
    size = (targets if table is None else table).shape[1]
    start = jnp.zeros((x.shape[1], size)), jnp.zeros(size)
    enough = TOLERANCE * optax.tree.norm(jax.grad(loss)(start))

    def step(carry):
        params, state, i, _ = carry
        value, gradient = evaluate(params, state=state)
        update, state = optimizer.update(gradient, state, params, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(params, update), state, i + 1, optax.tree.norm(gradient)

    def goes_on(carry):
        return (carry[2] < ITERATIONS) & (carry[3] > enough)

    found = jax.lax.while_loop(goes_on, step, (start, optimizer.init(start), 0, jnp.inf))
    return found[0]


def class_accuracies(labels: np.ndarray, guesses: np.ndarray, classes: int) -> np.ndarray:
    """Of each class, the part of its rows that are guessed right, float64 [C]; NaN of one without a row."""
    labels, right = np.asarray(labels), np.asarray(labels) == np.asarray(guesses)
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, right, classes) / np.where(counts, counts, np.nan)


def judge_classes(labels: np.ndarray, guesses: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Figures of guesses over all classes: "accuracy" of rows, and "balanced", the mean over classes.

    Where there are rows of classes that were not `seen` (bool [C]) also "seen" and "unseen", the means over
    those classes, and "harmonic", 2 s u / (s + u) of the two (arXiv 1707.00600, sec. 5).
    """
    seen = np.asarray(seen, bool)
    each = class_accuracies(labels, guesses, len(seen))
    there = ~np.isnan(each)
    found = {"accuracy": float(np.mean(np.asarray(labels) == guesses)), "balanced": float(each[there].mean())}
    if (there & ~seen).any() and (there & seen).any():
        s, u = float(each[there & seen].mean()), float(each[there & ~seen].mean())
        found |= {"seen": s, "unseen": u, "harmonic": harmonic(s, u)}
    return found


def harmonic(a: float, b: float) -> float:
    """2 a b / (a + b); 0 where both are."""
    return 2 * a * b / (a + b) if a + b else 0.0
