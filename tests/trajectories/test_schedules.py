"""Schedules: the rates of each form, and the sums that laws read of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

Schedule = js.trajectories.Schedule


def test_a_warm_up_ends_at_the_peak_and_each_form_at_its_end():
    rates = Schedule.cosine(1000, 3e-4, 3e-5, warmup=101).rates
    assert_allclose(rates[[0, 50, 100, 101]], [0, 1.5e-4, 3e-4, 3e-4], rtol=1e-12)
    assert rates[-1] == pytest.approx(3e-5)
    # Halfway from the end of the warm-up the cosine is halfway, too.
    even = Schedule.cosine(1100, 3e-4, 3e-5, warmup=100).rates
    assert even[600] == pytest.approx((3e-4 + 3e-5) / 2)
    exponential = Schedule.wsd(1000, 1e-3, 1e-5, decay_steps=200).rates
    assert_allclose(exponential[[800, 900, 1000]], [1e-3, 1e-4, 1e-5])
    linear = Schedule.wsd(1000, 1e-3, 0.0, decay_steps=200, decay="linear").rates
    assert_allclose(linear[[800, 900, 1000]], [1e-3, 5e-4, 0])
    assert set(Schedule.constant(10, 2e-3).rates) == {2e-3}


def test_sums_are_those_of_plain_loops():
    schedule = Schedule.wsd(400, 3e-4, 3e-5, decay_steps=150, warmup=40)
    decay, momentum, total, rate_sum = 0.97, 0.0, 0.0, 0.0
    sums, momenta = schedule.sums(), schedule.momenta(decay)
    for step in range(1, 401):
        rate_sum += schedule.rates[step]
        momentum = decay * momentum + schedule.rates[step - 1] - schedule.rates[step]
        total += momentum
        assert sums[step] == pytest.approx(rate_sum, rel=1e-12)
        assert momenta[step] == pytest.approx(total, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Schedule.constant(0, 1e-3),
            "steps must be a whole number from 1 to 20,000,000; got 0",
        ),
        (lambda: Schedule.constant(10, -1.0), "peak must be finite and above 0; got -1.0"),
        (lambda: Schedule.cosine(10, 1e-3, 0.0, warmup=11), "warmup must be at most the 10 steps"),
        (lambda: Schedule.cosine(10, 1e-3, 1.0), r"end must be at most the peak, 0\.001; got 1\.0"),
        (lambda: Schedule.wsd(10, 1e-3, 0.0, decay_steps=5), "end must be above 0"),
        (lambda: Schedule.wsd(10, 1e-3, 1e-4, decay_steps=11), "decay_steps must be from 1"),
        (lambda: Schedule.wsd(10, 1e-3, 0.0, decay_steps=5, decay="liner"), "liner.*linear"),
        (lambda: Schedule.table([1e-3, np.nan]), "lr must be a list of rates"),
        (lambda: Schedule.constant(10, 1e-3).checked_steps([3, 11]), "schedule's 10; got 11"),
    ],
)
def test_numbers_that_make_no_schedule_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
