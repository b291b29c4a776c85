"""The forty behaviour cases of the driving reference (section 8), each with the tests that hold it.

`SERVER` marks what only a real CARLA server could show; the scripted fake of its client stands in for it, and
`backends/test_carla_server.py` checks it where a server listens on 127.0.0.1:2000.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Cases of which a part could not be checked here: no CARLA server exists.
SERVER = (2, 3, 4, 17, 18, 19, 20, 21, 24, 25, 27, 28, 30, 40)


class Case(NamedTuple):
    """One case.

    Attributes:
        what: that must happen.
        tests: `file::test` or `file::Class::test` below tests/, shortened: see `FILES`.
    """

    what: str
    tests: tuple[str, ...]


FILES = {
    "cases": "apps/driving/environment/test_env_cases.py",
    "env": "apps/driving/environment/test_env.py",
    "progress": "apps/driving/environment/test_tracker.py",
    "rewards": "apps/driving/test_rewards.py",
    "rewardcases": "apps/driving/test_reward_cases.py",
    "world": "apps/driving/test_rewards_in_the_world.py",
    "calibration": "apps/driving/test_calibration.py",
    "evaluating": "apps/driving/measures/test_evaluation.py",
    "figures": "apps/driving/measures/test_figures.py",
    "functional": "apps/driving/parts/test_functional.py",
    "rules": "apps/driving/parts/test_rules.py",
    "synthesis": "apps/driving/parts/test_synthesis.py",
    "planner": "apps/driving/roads/test_planner.py",
    "collisions": "apps/driving/backends/test_collisions.py",
    "embedded": "apps/driving/backends/test_embedded.py",
    "contacts": "apps/driving/backends/test_embedded_contacts.py",
    "repeats": "apps/driving/backends/test_embedded_repeats.py",
    "sensing": "apps/driving/backends/test_carla_sensing.py",
    "episodes": "apps/driving/backends/test_carla_episodes.py",
    "stage": "apps/driving/backends/test_carla_stage.py",
    "connection": "apps/driving/backends/test_carla_connection.py",
    "parts": "apps/driving/backends/test_carla_parts.py",
    "probe": "apps/driving/backends/test_carla_probe.py",
    "choose": "apps/driving/backends/test_choose.py",
    "supervisor": "apps/driving/backends/test_supervisor.py",
    "server": "apps/driving/backends/test_carla_server.py",
    "realcarla": "apps/driving/backends/test_real_carla.py",
    "relabel": "common/training/sb3/test_relabel.py",
    "replay": "common/training/sb3/test_replay.py",
    "gym": "common/rewards/adapters/test_gym_adapter.py",
    "image": "common/rewards/image/test_image.py",
    "clip": "common/models/test_clip.py",
    "labels": "common/rewards/episodes/test_labels.py",
    "intrinsic": "common/rewards/episodes/test_intrinsic.py",
    "rescale": "common/rewards/transforms/test_rescale.py",
    "decomposition": "common/rewards/episodes/test_decomposition.py",
}

CASES: dict[int, Case] = {
    1: Case(
        "a collision ends the episode in its own step, with penalty and cause; later steps raise",
        (
            "cases::test_1_and_3_a_collision_of_any_kind_ends_the_episode_at_once_under_its_own_name",
            "env::test_a_collision_ends_the_episode_in_its_own_step_with_its_penalty",
            "env::test_step_before_reset_and_after_the_end_is_refused",
        ),
    ),
    2: Case(
        "duplicate contacts count once: within a tick, and the same participant within five seconds",
        (
            "cases::test_2_several_contacts_of_one_tick_end_it_once_and_are_all_told",
            "collisions::test_one_contact_is_told_once_in_five_seconds",
            "sensing::test_the_same_participant_counts_once_in_five_seconds",
            "parts::test_contacts_with_one_participant_are_five_seconds_apart",
        ),
    ),
    3: Case(
        "kerb, sidewalk, static, vehicle and walker are told apart; the road is no collision",
        (
            "cases::test_1_and_3_a_collision_of_any_kind_ends_the_episode_at_once_under_its_own_name",
            "sensing::test_what_was_hit_is_typed_and_the_road_is_no_collision",
            "contacts::test_a_crash_into_a_car_is_told_once_stops_both_and_is_typed",
            "contacts::test_leaving_the_road_touches_the_pavement_once",
        ),
    ),
    4: Case(
        "a late contact of before the reset is dropped",
        (
            "sensing::test_a_collision_of_a_frame_before_the_reset_is_dropped",
            "sensing::test_a_collision_of_the_last_episode_does_not_end_this_one",
        ),
    ),
    5: Case(
        "the wrong way, 132 to 180°, pays nothing; alignment falls with the angle",
        (
            "cases::test_5_the_wrong_way_gains_nothing",
            "rewardcases::TestStates::test_5_the_wrong_way_earns_no_more_than_standing",
            "functional::TestFactors::test_alignment_falls_with_the_angle",
            "synthesis::TestDefects::test_the_wrong_way_pays_nothing",
        ),
    ),
    6: Case(
        "reverse at the target speed pays nothing",
        (
            "cases::test_6_reverse_has_a_negative_speed_and_gains_nothing",
            "rewardcases::TestStates::test_6_reverse_earns_no_more_than_standing",
            "embedded::test_the_ego_says_what_it_does",
        ),
    ),
    7: Case(
        "a standing car has a heading, from its nose, and a finite reward",
        (
            "cases::test_7_a_standing_car_keeps_its_heading_and_every_number_is_finite",
            "rewardcases::TestStates::test_7_a_standing_car_has_a_value",
            "env::test_standing_still_is_aligned_and_finite",
        ),
    ),
    8: Case(
        "a hill does not shift the lateral distance",
        ("cases::test_8_hills_do_not_shift_the_offset", "progress::test_hills_do_not_shift_the_offset"),
    ),
    9: Case(
        "off the route progress is frozen, and it never moves further than the car",
        (
            "env::test_leaving_the_route_ends_it_or_freezes_progress",
            "cases::test_9_and_12_gains_add_up_and_no_step_gains_more_than_the_car_moved",
            "progress::test_gains_add_up_and_the_place_moves_no_further_than_the_car",
            "progress::test_metres_off_the_route_are_never_made_good",
        ),
    ),
    10: Case(
        "crossings, loops and start = goal give no credit; too short a route is refused at reset",
        (
            "cases::test_10_a_route_that_is_too_short_is_refused_at_reset",
            "progress::test_a_crossing_of_the_route_with_itself_gives_no_credit",
            "progress::test_a_route_that_ends_where_it_starts_is_not_done_at_its_start",
            "planner::TestRefusals::test_too_short",
            "planner::TestRefusals::test_start_at_the_goal",
        ),
    ),
    11: Case(
        "a teleport is neither distance nor progress",
        (
            "cases::test_11_a_teleport_is_neither_progress_nor_distance",
            "progress::test_a_jump_gains_nothing_there_or_afterwards",
        ),
    ),
    12: Case(
        "progress is potential-based: gains sum to the route completion",
        (
            "cases::test_9_and_12_gains_add_up_and_no_step_gains_more_than_the_car_moved",
            "env::test_the_whole_route_is_a_success_and_its_gains_add_up_to_one",
            "world::test_12_progress_sums_to_the_route_completion",
            "rewardcases::TestStates::test_12_no_return_grows_with_the_square_of_the_way",
            "functional::TestProgress::test_it_telescopes",
        ),
    ),
    13: Case(
        "stuck after exactly N / dt steps; motion and reset start again; waiting behind a hazard by config",
        (
            "env::test_stuck_comes_after_exactly_so_many_steps_and_moving_starts_the_count_again",
            "cases::TestStuck::test_13_waiting_behind_a_car_is_not_being_stuck",
            "cases::TestStuck::test_13_unless_the_config_says_so",
            "cases::TestStuck::test_13_a_car_far_ahead_is_no_excuse",
            "cases::TestStuck::test_13_a_reset_starts_the_count_again",
        ),
    ),
    14: Case(
        "the time limit truncates; its bootstrap is kept by the relabellers of PPO and SAC",
        (
            "env::test_the_time_limit_cuts_off_and_does_not_end",
            "relabel::test_a_rollout_of_all_environments_is_relabelled_like_step_by_step",
            "relabel::test_replayed_steps_of_all_environments_are_relabelled",
            "synthesis::test_a_time_limit_is_no_failure",
        ),
    ),
    15: Case(
        "goal and collision in one tick: the collision wins",
        ("env::test_a_collision_at_the_goal_is_a_collision", "functional::TestEnds::test_what_failed"),
    ),
    16: Case(
        "success needs less than 5 m and .999 of the route",
        (
            "cases::TestSuccess::test_16_near_the_end_without_the_way_there_is_no_success",
            "cases::TestSuccess::test_16_the_whole_way_but_not_near_is_no_success",
        ),
    ),
    17: Case(
        "a late picture is waited for up to its deadline, then a time-out; never an old one",
        (
            "sensing::test_a_late_picture_is_waited_for",
            "sensing::test_a_picture_that_does_not_come_is_a_timeout_and_never_an_old_one",
            "server::test_the_camera_is_of_its_frame",
        ),
    ),
    18: Case(
        "data of later frames and of former episodes are dropped; queues are bounded",
        (
            "sensing::test_data_of_other_frames_are_dropped",
            "parts::test_a_queue_gives_out_the_frame_that_was_asked_for_or_nothing",
            "parts::test_a_flood_of_contacts_does_not_grow",
        ),
    ),
    19: Case(
        "a step is exactly n ticks; a second client that ticks is found out",
        (
            "episodes::test_a_step_is_exactly_its_ticks",
            "episodes::test_a_second_client_that_ticks_is_found_out",
            "episodes::test_a_second_client_that_ticks_between_steps_is_found_out",
            "embedded::test_frames_count_ticks_and_time_starts_at_zero",
        ),
    ),
    20: Case(
        "a tick beyond the substeps is refused; settings are given back on close",
        (
            "connection::test_a_tick_that_physics_cannot_follow_is_refused_with_what_would_do",
            "connection::test_a_coarse_substep_is_warned_of",
            "stage::test_settings_that_were_found_are_given_back_whatever_they_were",
        ),
    ),
    21: Case(
        "a server that dies mid-step: lost within the deadline, truncated, restarted, given up after retries",
        (
            "env::test_a_lost_simulator_is_not_the_drivers_fault",
            "connection::test_a_crash_in_a_step_is_a_lost_episode_and_the_next_reset_goes_on",
            "connection::test_a_server_that_stays_away_is_given_up_after_the_retries_with_longer_and_longer_waits",
            "supervisor::test_the_watchdog_works_while_the_drivers_interpreter_is_locked",
            "supervisor::test_a_step_that_hangs_in_c_code_is_a_lost_episode_and_the_next_reset_has_a_new_server",
        ),
    ),
    22: Case(
        "without a server auto drives embedded within 0.1 s and carla is a clear error, without a call of the client",
        (
            "choose::test_auto_without_a_server_is_embedded_and_says_so_without_a_call_of_the_client",
            "choose::test_carla_that_is_asked_for_and_not_there_is_an_error_without_a_call_of_the_client",
            "probe::test_a_host_that_does_not_answer_costs_less_than_a_tenth_of_a_second",
        ),
    ),
    23: Case(
        "another program on the port is named; a traffic-manager port in use is left for the next",
        (
            "probe::test_another_program_is_named_by_what_it_says",
            "choose::test_auto_with_another_program_on_the_port_is_embedded_and_names_it",
            "stage::test_a_traffic_manager_port_that_is_in_use_is_left_for_the_next",
            "stage::test_every_autopilot_is_given_the_port_of_our_traffic_manager",
        ),
    ),
    24: Case(
        "client and server of different versions: refused, both named",
        (
            "connection::test_other_versions_are_refused_and_both_are_named",
            "realcarla::test_a_server_of_another_version_is_refused_by_the_client_itself",
        ),
    ),
    25: Case(
        "a route of another map is refused before anything is spawned",
        (
            "episodes::test_a_route_of_another_map_is_refused_before_anything_is_spawned",
            "connection::test_a_town_of_the_same_name_with_other_roads_is_refused",
            "embedded::test_a_route_of_another_town_is_refused_by_both_names",
        ),
    ),
    26: Case(
        "only the process group that we started is ended",
        (
            "supervisor::test_only_what_was_started_here_is_ended",
            "supervisor::test_a_port_that_is_taken_is_refused_and_its_user_left_alone",
        ),
    ),
    27: Case(
        "resets leave nothing behind; sensors stop before they are destroyed; close may be repeated",
        (
            "cases::test_27_resets_leave_nothing_behind",
            "repeats::test_a_thousand_resets_leave_nothing_behind",
            "stage::test_resets_and_close_take_everyone_out_again",
            "stage::test_sensors_are_stopped_before_they_are_destroyed",
            "stage::test_a_thousand_resets_leave_no_objects_behind",
            "stage::test_cars_that_find_no_place_are_an_error_that_leaves_nobody_behind",
            "stage::test_close_before_connect_and_after_a_crash_is_quiet",
        ),
    ),
    28: Case(
        "a blocked spawn is tried elsewhere up to N times, then an error",
        (
            "stage::test_the_start_of_the_route_is_tried_again_a_little_further_on",
            "stage::test_a_blocked_start_is_an_error_after_so_many_attempts",
            "stage::test_blocked_cars_are_put_elsewhere",
            "embedded::test_more_traffic_than_room_is_refused_with_the_room_there_is",
        ),
    ),
    29: Case(
        "actions: NaN, infinity and shape are refused, ranges clipped, types converted, one pedal at a time",
        (
            "env::test_a_bad_action_is_refused_and_the_episode_goes_on",
            "env::test_actions_outside_are_clipped_and_types_do_not_matter",
            "embedded::test_a_control_must_be_finite",
            "episodes::test_a_control_that_makes_no_sense_is_refused_and_nothing_moves",
            "episodes::test_numpy_numbers_are_converted_and_ranges_clipped",
            "realcarla::test_numpy_numbers_that_the_client_refuses_are_converted",
        ),
    ),
    30: Case(
        "equal seeds and actions give equal bytes, across processes too; ranks differ; CARLA is seeded",
        (
            "env::test_equal_seeds_give_equal_bytes",
            "env::test_ranks_are_set_apart",
            "cases::test_30_processes_of_their_own_give_equal_bytes_and_ranks_differ",
            "repeats::test_equal_bytes_across_processes",
            "evaluating::test_several_processes_change_nothing",
            "stage::test_equal_seeds_give_equal_worlds_and_other_seeds_others",
            "server::test_equal_seeds_drive_nearly_alike",
        ),
    ),
    31: Case(
        "terms and totals stay in their bounds and finite at the far ends",
        (
            "cases::test_31_numbers_and_the_environments_own_reward_stay_finite",
            "rewardcases::test_31_bounds_and_parts_are_finite_at_the_far_ends",
            "rules::test_bounds_hold_for_every_finite_state",
            "synthesis::test_bounds_hold_for_every_state",
            "functional::TestFactors::test_one_step_is_steady",
        ),
    ),
    32: Case(
        "contrasting goals: swapped texts negate z, thresholds clip, wrong ones are refused, hashes are kept",
        (
            "rewards::test_swapped_goals_negate_z",
            "functional::TestSafety::test_the_published_numbers",
            "functional::TestSafety::test_thresholds_out_of_order_are_refused",
            "image::TestContrastiveGoal::test_a_picture_that_points_nowhere_is_nan_and_not_safe",
            "calibration::TestFile::test_other_weights_are_refused",
            "calibration::TestFile::test_other_goals_are_refused",
        ),
    ),
    33: Case(
        "one by one, batches and ragged batches agree; order and layout are explicit",
        (
            "rewards::TestEveryRecipe::test_one_by_one_is_as_good_as_a_batch",
            "rewards::TestEveryRecipe::test_another_order_changes_nothing",
            "rewards::test_uint8_and_channels_last_are_refused_and_not_guessed",
            "gym::test_a_ragged_last_batch_changes_nothing",
            "gym::test_pictures_come_in_the_layout_that_was_said",
            "clip::TestVectors::test_units_of_float32_whatever_the_batch",
            "clip::TestVectors::test_nothing_gives_no_rows",
        ),
    ),
    34: Case(
        "relabelling: several environments, wrap, ends inside the window, penalties kept, saved mid-window",
        (
            "relabel::test_replayed_steps_of_all_environments_are_relabelled",
            "relabel::test_entries_of_earlier_windows_stay_as_they_are",
            "relabel::test_nothing_is_sampled_before_it_was_relabelled",
            "relabel::test_a_window_may_be_saved_and_gone_on_with_in_its_middle",
            "relabel::test_penalties_are_told_from_what_the_environments_paid",
        ),
    ),
    35: Case(
        "a late reward is recorded and flagged, never a silent 0; partial batches go out; no number is counted",
        (
            "rewardcases::test_35_an_annotator_that_is_late_makes_no_zeros",
            "labels::test_a_partial_batch_goes_out_at_its_deadline",
            "labels::test_what_is_no_number_is_counted_asked_again_and_then_refused",
            "gym::test_a_failed_grader_is_flagged_and_the_last_value_holds",
        ),
    ),
    36: Case(
        "the same frame gives the same reward; a running normaliser is frozen in evaluation",
        (
            "cases::test_36_the_same_moment_gives_the_same_picture_and_the_same_numbers",
            "rewardcases::test_36_the_same_frames_twice_score_the_same",
            "gym::test_equal_frames_are_looked_at_once",
            "gym::test_a_frozen_reward_takes_in_nothing",
            "rescale::TestHistory::test_an_evaluation_teaches_it_nothing",
        ),
    ),
    37: Case(
        "nothing that a model says is executed (there is no sandbox because there is nothing to run)",
        (
            "rewardcases::test_37_what_a_model_says_is_never_run",
            "labels::TestJudge::test_an_event_reaches_the_judge_as_data",
        ),
    ),
    38: Case(
        "return decomposition: more draws than steps, single steps, sums near the return",
        (
            "decomposition::TestLoss::test_more_draws_than_steps_and_a_single_step",
            "decomposition::TestLearning::test_an_episodes_sum_is_near_its_return",
            "decomposition::TestLearning::test_single_steps_and_returns_of_nothing",
            "rewardcases::TestTransforms::test_38_a_sparse_reward_is_spread_and_sums_to_its_return",
        ),
    ),
    39: Case(
        "discrete actions are (throttle, steer), the same as the continuous ones",
        ("env::test_discrete_actions_are_pairs_of_throttle_and_steer",),
    ),
    40: Case(
        "gymnasium's and SB3's checkers on both backends; stable spaces; 0 m is no division error",
        (
            "env::test_gymnasium_and_stable_baselines_accept_it",
            "cases::test_40_the_checkers_accept_the_environment_on_the_fake_of_carlas_client",
            "env::test_observations_lie_in_their_space_and_the_state_has_its_keys",
            "figures::test_a_car_that_never_moved_is_no_division_error",
        ),
    ),
}


@cache
def names_in(file: str) -> frozenset[str]:
    """`test` and `Class::test` of a file, read and not imported."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return frozenset(found)


def test_all_forty_are_there() -> None:
    assert sorted(CASES) == list(range(1, 41))
    assert set(SERVER) <= set(CASES)


@pytest.mark.parametrize("number", CASES)
def test_a_case_names_tests_that_exist(number: int) -> None:
    case = CASES[number]
    assert case.tests
    for test in case.tests:
        file, _, name = test.partition("::")
        assert name.rpartition("::")[2].startswith("test_")
        assert name in names_in(FILES[file]), f"case {number}: no {name} in tests/{FILES[file]}"


@pytest.mark.parametrize("number", CASES)
def test_a_case_does_not_hang_on_a_server_alone(number: int) -> None:
    assert any(not test.startswith("server::") for test in CASES[number].tests)
