"""The kinematic bicycle: it obeys its pedals and its wheel, and makes no energy from nothing."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.driving.backends.vehicle import GRAVITY, Bicycle, Car
from apps.driving.geometry import wrap
from common.errors import UsageError

CAR = Car()


def drive(bike: Bicycle, seconds: float, **control: float | bool) -> Bicycle:
    given = {"steer": 0.0, "throttle": 0.0, "brake": 0.0, "reverse": False, **control}
    for _ in range(round(seconds / bike.tick)):
        bike.advance(**given)  # type: ignore[arg-type]
    return bike


def moving(speed: float, tick: float = 0.05, car: Car = CAR) -> Bicycle:
    bike = Bicycle(car, tick)
    bike.place(0.0, 0.0, 0.0, speed)
    return bike


def test_full_throttle_to_a_hundred_takes_about_seven_seconds() -> None:
    bike, seconds = moving(0.0), 0.0
    while bike.speed < 100 / 3.6:
        drive(bike, 0.05, throttle=1.0)
        seconds += 0.05
    assert 6.0 < seconds < 8.5


def test_an_emergency_stop_from_fifty_takes_about_twelve_metres() -> None:
    bike = drive(moving(50 / 3.6), 3.0, brake=1.0)
    assert bike.speed == 0.0
    assert bike.x == pytest.approx((50 / 3.6) ** 2 / (2 * 8.5), rel=0.05)


def test_brakes_never_drive_backwards_and_hold_on_a_slope() -> None:
    bike = drive(moving(3.0), 2.0, brake=1.0)
    x = bike.x
    drive(bike, 5.0, brake=0.3, grade=-0.1)
    assert (bike.speed, bike.x) == (0.0, x)


def test_it_rolls_down_a_hill_without_brakes() -> None:
    assert drive(moving(0.0), 2.0, grade=0.08).speed < -0.5
    assert drive(moving(0.0), 2.0, grade=-0.08).speed > 0.5


def test_a_hill_costs_speed() -> None:
    up, flat, down = (drive(moving(10.0), 3.0, throttle=0.3, grade=grade).speed for grade in (0.08, 0.0, -0.08))
    assert up < flat < down


def test_reverse_drives_backwards_up_to_its_own_top_speed() -> None:
    bike = drive(moving(0.0), 20.0, throttle=1.0, reverse=True)
    assert bike.speed == pytest.approx(-CAR.top_reverse, rel=0.01)
    assert bike.x < -50.0


def test_the_engine_stops_pushing_at_top_speed() -> None:
    car = dataclasses.replace(CAR, top_speed=20.0)
    assert drive(moving(0.0, car=car), 30.0, throttle=1.0).speed <= 20.0
    # A slope may push further.
    assert drive(moving(20.0, car=car), 10.0, throttle=1.0, grade=-0.15).speed > 21.0


def test_positive_steer_turns_right_also_backwards_by_the_wheel() -> None:
    ahead = drive(moving(5.0), 1.0, steer=0.5)
    assert ahead.yaw > 0.1
    assert ahead.y > 0.1
    assert ahead.yaw_rate > 0.0
    back = drive(moving(-5.0), 1.0, steer=0.5, reverse=True)
    assert back.yaw < -0.1


def test_the_turning_circle_is_the_makers() -> None:
    """Kerb to kerb 11.7 m: the outer front wheel's circle."""
    bike = drive(moving(2.0), 2.0, steer=1.0)
    radius = abs(bike.speed / bike.yaw_rate)
    outer = math.hypot(radius + CAR.width / 2, CAR.wheelbase)
    assert 2 * outer == pytest.approx(11.7, rel=0.1)


def test_a_circle_closes() -> None:
    car = dataclasses.replace(CAR, drag=0.0, rolling=0.0, steer_lag=0.0, steer_rate=1e3)
    bike = moving(5.0, 0.01, car)
    bike.advance(0.5, 0.0, 0.0, False)
    turn = 2 * math.pi / bike.yaw_rate
    drive(bike, turn - 0.01, steer=0.5)
    assert math.hypot(bike.x, bike.y) < 0.1


def test_the_wheels_take_their_time() -> None:
    bike = drive(moving(10.0), 0.05, steer=1.0)
    assert 0.0 < bike.wheels <= CAR.steer_rate * 0.05 + 1e-12
    drive(bike, 3.0, steer=1.0)
    assert bike.wheels == pytest.approx(CAR.max_steer, rel=1e-3)


def test_place_leaves_nothing_of_before() -> None:
    bike = drive(moving(10.0), 1.0, steer=1.0)
    bike.place(1.0, 2.0, 0.5)
    assert (bike.speed, bike.drift, bike.yaw_rate, bike.wheels) == (0.0, 0.0, 0.0, 0.0)


UNIT = st.floats(0.0, 1.0)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-1, 1), UNIT, UNIT, st.booleans(), st.floats(-0.2, 0.2)), min_size=1, max_size=30),
       st.floats(-8.0, 50.0), st.sampled_from([0.02, 0.05, 0.1]))  # fmt: skip
def test_energy_is_only_what_the_engine_put_in(controls: list[tuple], speed: float, tick: float) -> None:
    """Kinetic and potential energy never rise by more than power times time, nor force times way."""
    bike = moving(speed, tick)
    for steer, throttle, brake, reverse, grade in controls:
        before, x, y, yaw = bike.speed, bike.x, bike.y, bike.yaw
        bike.advance(steer, throttle, brake, reverse, grade)
        middle = yaw + 0.5 * wrap(bike.yaw - yaw)
        way = (bike.x - x) * math.cos(middle) + (bike.y - y) * math.sin(middle)
        gained = 0.5 * CAR.mass * (bike.speed**2 - before**2) + CAR.mass * GRAVITY * grade * way
        pushed = throttle * CAR.drive * abs(way)
        assert gained <= pushed + 1e-6 * max(1.0, abs(pushed))
        # It drives no further than its speeds allow, and the bend adds little to it.
        assert abs(way) <= 0.5 * abs(before + bike.speed) * tick + 1e-9
        assert math.hypot(bike.x - x, bike.y - y) <= abs(way) * 1.1 + 1e-9


@given(st.lists(st.tuples(st.floats(-1, 1), UNIT, UNIT, st.booleans()), min_size=1, max_size=40), st.floats(0.0, 50.0))
def test_grip_bounds_the_lateral_acceleration(controls: list[tuple], speed: float) -> None:
    bike = moving(speed)
    for control in controls:
        bike.advance(*control)
        assert abs(bike.speed * bike.yaw_rate) <= CAR.grip * GRAVITY * (1 + 1e-9)
        assert -math.pi < bike.yaw <= math.pi
        assert -CAR.top_reverse <= bike.speed <= CAR.top_speed


@pytest.mark.parametrize(("name", "value"), [("mass", 0.0), ("length", -1.0), ("power", math.nan), ("drag", -0.1)])
def test_a_car_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        dataclasses.replace(CAR, **{name: value})


def test_a_car_without_resistance_can_be() -> None:
    car = dataclasses.replace(CAR, drag=0.0, rolling=0.0, steer_lag=0.0)
    assert drive(moving(10.0, car=car), 10.0).speed == 10.0
