"""Drivers by name."""

from __future__ import annotations

import numpy as np
import pytest

from apps.driving.drivers.base import begin, digest_of, env_of
from apps.driving.drivers.load import NAMED, load_driver
from apps.driving.env_config import ActionConfig, EnvConfig
from apps.driving.environment.actions import TABLE
from common.errors import UsageError


@pytest.mark.parametrize("name", sorted(NAMED))
def test_drivers_have_the_name_they_are_asked_for(name):
    assert load_driver(name, EnvConfig()).name == name


def test_the_random_driver_acts_in_the_environments_own_way():
    driver = load_driver("random", EnvConfig(action=ActionConfig(kind="discrete")))

    assert driver.act({}) in range(len(TABLE))


def test_the_rule_based_driver_steers_and_sees_whatever_the_policy_beside_it_does():
    config = EnvConfig(action=ActionConfig(kind="discrete", smoothing=0.5))
    config.observation.neighbours = 0
    own = env_of(load_driver("rule-based", config), config)

    assert (own.action.kind, own.action.smoothing) == ("continuous", 0.5)
    assert own.observation.neighbours > 0
    assert (config.action.kind, config.observation.neighbours) == ("discrete", 0)
    assert env_of(load_driver("rule-based", EnvConfig()), config) == EnvConfig()


def test_the_random_driver_begins_anew_with_every_episode():
    driver = load_driver("random", EnvConfig())
    begin(driver, 5)
    first = [driver.act({}) for _ in range(3)]
    begin(driver, 5)

    np.testing.assert_array_equal(first, [driver.act({}) for _ in range(3)])


def test_a_driver_needs_no_more_than_to_act():
    class Bare:
        name = "bare"

        def act(self, observation):
            return None

    config = EnvConfig(target_speed=1.0)
    begin(Bare(), 1)
    assert env_of(Bare(), config) is config
    assert digest_of(Bare()) == ""


def test_a_trained_driver_brings_its_environment():
    class Trained:
        name, env, digest = "trained", EnvConfig(target_speed=3.0), "abc"

        def act(self, observation):
            return None

    assert env_of(Trained(), EnvConfig()).target_speed == 3.0
    assert digest_of(Trained()) == "abc"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UsageError, match="rule-based"):
        load_driver("rule_based", EnvConfig())


def test_a_folder_without_a_policy_is_refused(tmp_path):
    with pytest.raises(UsageError, match=str(tmp_path)):
        load_driver(str(tmp_path), EnvConfig())
