"""What is asked of a server: tokens of a prompt and of an answer, and how soon."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike as HostArray

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_finite, is_nonnegative, is_positive

# Means of the conversations in the trace of Azure 2023 (Splitwise), as microsoft/vidur has it: what
# front-ends ask where the user says nothing, with the family of shapes that they price.
PROMPT, OUTPUT = 1155, 211
FAMILY = "llama"


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Requests:
    """Tokens that a request reads and writes, in the mean, and how many requests come.

    Three more means follow from the first two where all requests are alike, and from
    `Requests.from_lengths` where they are not: long requests are longer in the server.

    Examples:
        >>> js.serving.Requests(prompt=1024, output=256, cached=0.5)
        Requests(prompt=1024, output=256, cached=0.5, rate=None)
    """

    prompt: Real  # tokens read
    output: Real  # tokens written
    cached: Real = 0.0  # share of the prompt that a prefix cache knows, below 1
    rate: Real | None = None  # requests a second of all users
    # Tokens that one of the prompt attends to, that a new one does, and that a request keeps room
    # for; by default half the prompt, the prompt with half the output, the prompt with the output.
    prompt_context: Real = None
    output_context: Real = None
    kept: Real = None
    longest: Real = None  # tokens of the longest request; by default all are alike
    # Copies of a request that run through the layers side by side, each with its own cache, and are
    # summed before the logits (ParScale, Chen et al. 2025, arXiv 2505.10475).
    streams: Real = 1.0

    @classmethod
    def from_lengths(
        cls,
        prompts: HostArray,
        outputs: HostArray,
        *,
        cached: Real = 0.0,
        rate: Real | None = None,
    ) -> Self:
        """The requests of a log: the tokens of each prompt and of each answer, as many of both.

        What a decode step sees is weighted by the length of the answer, because long ones are in
        more steps; what a prompt's tokens see, by the prompt's. Raises ValueError for lists that
        are empty or of two lengths, and for lengths that are not positive.

        Examples:
            >>> requests = js.serving.Requests.from_lengths([100, 2000], [400, 20])
            >>> print(f"{requests.prompt:.0f} tokens read, {requests.output_context:.0f} in a step")
            1050 tokens read, 381 in a step
        """
        read, written = (np.asarray(x, np.float64) for x in (prompts, outputs))
        if read.ndim != 1 or read.shape != written.shape or not read.size:
            raise ValueError(
                "prompts and outputs must be two lists of one length, not empty; got shapes "
                f"{read.shape} and {written.shape}"
            )
        for name, lengths in (("prompts", read), ("outputs", written)):
            bad = ~((lengths > 0) & np.isfinite(lengths))
            if bad.any():
                raise ValueError(f"{name} must be above 0; got {lengths[bad][0]:g}")
        total = written.sum()
        return cls(
            prompt=float(read.mean()),
            output=float(written.mean()),
            cached=cached,
            rate=rate,
            prompt_context=float((read**2).sum() / (2 * read.sum())),
            output_context=float((written * (read + written / 2)).sum() / total),
            kept=float((written * (read + written)).sum() / total),
            longest=float((read + written).max()),
        )

    def __repr__(self) -> str:
        names = ["prompt", "output", "cached", "rate"]
        if type(self.streams) not in (int, float) or self.streams != 1:
            names.append("streams")
        told = {name: getattr(self, name) for name in names}
        return f"Requests({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    def filled(self) -> "Requests":
        """The same requests with the numbers that follow from others; no rate is NaN."""
        if not isinstance(self, Requests):
            raise TypeError(
                f"requests must be js.serving.Requests(prompt=..., output=...); got {self!r}"
            )
        prompt, output = self.prompt, self.output
        return Requests(
            prompt,
            output,
            self.cached,
            _or(self.rate, np.nan),
            _or(self.prompt_context, prompt / 2),
            _or(self.output_context, prompt + output / 2),
            _or(self.kept, prompt + output),
            _longest(self.longest, self.kept, prompt + output),
            self.streams,
        )

    def is_valid(self) -> Array:
        """Whether each number is of the right sign and the cached share below 1; of filled ones."""
        good = is_nonnegative(self.cached) & (self.cached < 1) & ~(jnp.asarray(self.rate) <= 0)
        for each in (
            self.prompt,
            self.output,
            self.prompt_context,
            self.output_context,
            self.kept,
            self.longest,
        ):
            good &= is_positive(each)
        return good & (self.streams >= 1) & is_finite(self.streams)


def _longest(longest: Any, kept: Any, usual: Any) -> Any:
    if longest is not None or kept is None:
        return _or(longest, usual)
    # Room may be kept for more than comes.
    concrete = all(isinstance(x, np.ndarray | np.generic | int | float) for x in (kept, usual))
    larger: Any = np.maximum if concrete else jnp.maximum
    return larger(kept, usual)


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Limits:
    """What an answer may take, and how many are written at once. The defaults limit nothing.

    Examples:
        >>> js.serving.Limits(token_seconds=0.05, first_token_seconds=1.0)
        Limits(token_seconds=0.05, first_token_seconds=1.0, max_batch=inf)
    """

    token_seconds: Real = np.inf  # from one token of an answer to the next
    first_token_seconds: Real = np.inf  # from a request to the first token of its answer
    max_batch: Real = np.inf  # sequences that are decoded together

    def is_valid(self) -> Array:
        """Whether every limit is above 0, and the batch at least 1."""
        return (self.token_seconds > 0) & (self.first_token_seconds > 0) & (self.max_batch >= 1)


def lengths_within(
    room: float, prompt: float | None, output: float | None
) -> tuple[float, float] | None:
    """Tokens that a request reads and writes in a room of so many; None where they do not fit.

    What is not given is that of the trace, or what the room leaves.
    """
    if prompt is None and output is None:
        fits = min(1.0, room / (PROMPT + OUTPUT))
        prompt, output = PROMPT * fits, OUTPUT * fits
    elif prompt is None:
        assert output is not None
        prompt = min(PROMPT, room - output)
    elif output is None:
        output = min(OUTPUT, room - prompt)
    if min(prompt, output) <= 0 or prompt + output > room * (1 + 1e-12):
        return None
    return prompt, output
