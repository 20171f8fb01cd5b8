from __future__ import annotations

import json

import pytest

from localassist.engine.calibration import Calibration
from localassist.engine.cores import processor_name
from localassist.engine.step_plan import MEASURED_ROWS


class FakeBackend:
    """A backend whose every further row costs so much on one thread.

    By default so long that no step is short.
    """

    def __init__(
        self, *, max_threads=2, fingerprint="a model", disturbed=(), room=32, side_ctx=0,
        splits_evenly=False, slower=None, row_s=0.25, new_graph_s=0.0,
    ) -> None:  # fmt: skip
        self.side_ctx = side_ctx
        self.max_threads = max_threads
        self.fingerprint = fingerprint
        self.splits_evenly = splits_evenly
        self.room = room
        self.num_timed = 0
        self._row_s, self._new_graph_s = row_s, new_graph_s
        self._last = 0
        self._disturbed = set(disturbed)
        self._slower = slower or (lambda nth: 1)
        self._num_threads = max_threads

    def use_threads(self, num_threads):
        self._num_threads = num_threads

    def time_rows(self, num_rows):
        self.num_timed += 1
        if num_rows > self.room:
            return None
        seconds = self._row_s * num_rows / self._num_threads * self._slower(self.num_timed)
        seconds += self._new_graph_s * (num_rows != self._last)
        self._last = num_rows
        return seconds + 10 * (self.num_timed in self._disturbed)

    def time_apart(self):
        return self.apart_s if self.side_ctx else None

    apart_s = 0.3

    @staticmethod
    def cost(num_rows, num_threads):
        return 0.25 * num_rows / num_threads


def measured(backend, folder, **given):
    """A calibration after all its leisure work."""
    calibration = Calibration(backend, folder, **given)
    while not calibration.done:
        calibration.measure()
    return calibration


def expected(num_threads):
    costs = {rows: FakeBackend.cost(rows, num_threads) for rows in MEASURED_ROWS}
    return pytest.approx(costs)


def file_in(folder):
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("max_threads", [1, 2, 8])
def test_a_curve_is_measured_for_all_threads_and_for_one_less(tmp_path, max_threads):
    calibration = measured(FakeBackend(max_threads=max_threads), tmp_path)
    for num_threads in {max_threads, max(1, max_threads - 1)}:
        assert calibration.curve(num_threads).seconds == expected(num_threads)


def test_two_rows_apart_are_measured_where_there_is_a_side_lane(tmp_path):
    for side_ctx, apart_s in ((0, None), (4096, FakeBackend.apart_s)):
        calibration = measured(FakeBackend(side_ctx=side_ctx), tmp_path / "speed")
        assert calibration.curve(2).apart_s == apart_s
        assert calibration.curve(2).seconds == expected(2)


@pytest.mark.parametrize("room", [0, 4])
def test_what_is_not_whole_is_not_kept(tmp_path, room):
    backend = FakeBackend(side_ctx=4096)
    calibration = Calibration(backend, tmp_path / "speed")
    while not calibration.done:
        if backend.num_timed == len(MEASURED_ROWS) * 4:  # at the first step with fewer threads
            backend.room = room
        calibration.measure()
    assert not Calibration(FakeBackend(), tmp_path / "speed").done


def test_pairs_of_another_process_do_not_count_without_a_side_lane(tmp_path):
    measured(FakeBackend(side_ctx=4096), tmp_path / "speed")
    assert Calibration(FakeBackend(), tmp_path / "speed").curve(2).apart_s is None


def test_beside_another_program_two_lanes_are_believed_to_do_what_one_thread_does(tmp_path):
    calibration = measured(FakeBackend(side_ctx=4096), tmp_path / "speed")
    assert calibration.curve(1).apart_s == pytest.approx(2 * FakeBackend.cost(1, 1))
    assert calibration.curve(1).apart_pays(2)


def test_a_curve_without_pairs_gets_only_these_measured_beside_single_rows(tmp_path):
    measured(FakeBackend(), tmp_path / "speed")
    backend = FakeBackend(side_ctx=4096)
    assert measured(backend, tmp_path / "speed").curve(2).apart_s == FakeBackend.apart_s
    assert backend.num_timed == 4 * 2  # passes; the first of two rows is not looked at
    again = Calibration(FakeBackend(side_ctx=4096), tmp_path / "speed")
    assert again.done
    assert again.curve(2).apart_s == FakeBackend.apart_s


def test_a_side_lane_that_cannot_be_made_leaves_the_curve(tmp_path):
    backend = FakeBackend(side_ctx=4096)
    backend.time_apart = lambda: None
    assert measured(backend, tmp_path / "speed").curve(2).apart_s is None
    assert Calibration(FakeBackend(), tmp_path / "speed").done


def test_other_numbers_of_threads_get_the_nearest_curve():
    calibration = measured(FakeBackend(max_threads=8), None)
    assert calibration.curve(3).seconds == expected(7)
    assert calibration.curve(20).seconds == expected(8)


def test_what_disturbs_a_measurement_now_and_then_does_not_count():
    backend = FakeBackend(disturbed=range(1, 1000, 4))
    assert measured(backend, None).curve(2).seconds == expected(2)


def test_what_disturbs_the_first_steps_of_a_process_does_not_count():
    backend = FakeBackend(disturbed=range(1, len(MEASURED_ROWS) + 1))
    assert measured(backend, None).curve(2).seconds == expected(2)


@pytest.mark.parametrize(
    "slower",
    [
        lambda nth: 1.0 if 15 <= nth < 22 else 1.3,  # fast for half of the second pass
        lambda nth: 1.3 if 15 <= nth < 22 else 1.0,
        lambda nth: 1.5 - 0.1 * ((nth - 1) // len(MEASURED_ROWS)),
    ],
)
def test_a_machine_that_is_slower_by_turns_still_has_the_costs_of_rows_beside_one_another(slower):
    curve = measured(FakeBackend(slower=slower, max_threads=1), None).curve(1)
    costs = [curve.seconds[rows] / FakeBackend.cost(rows, 1) for rows in MEASURED_ROWS]
    assert costs == pytest.approx([costs[0]] * len(costs))


def test_two_rows_apart_are_compared_with_single_ones_of_the_same_moment():
    backend = FakeBackend(side_ctx=4096, slower=lambda nth: 1.0 if nth <= 100 else 1.4)
    backend.apart_s = 1.4 * FakeBackend.apart_s
    assert measured(backend, None).curve(2).apart_s == pytest.approx(FakeBackend.apart_s)


@pytest.mark.parametrize("num_rows", [1, 2, 8])
def test_where_it_matters_a_step_is_measured_as_one_that_follows_its_like(num_rows):
    backend = FakeBackend(max_threads=1, row_s=0.01, new_graph_s=0.005)
    assert measured(backend, None).curve(1).seconds[num_rows] == pytest.approx(0.01 * num_rows)


@pytest.mark.parametrize(("seconds", "cost"), [(0.01, 0.01), (7.0, 0.125)])
def test_what_steps_really_take_lowers_a_curve(seconds, cost):
    calibration = measured(FakeBackend(), None)
    calibration.lower(1, seconds)
    calibration.lower(17, seconds)  # was not measured
    assert calibration.curve(2).seconds == pytest.approx({**expected(2).expected, 1: cost})
    assert calibration.curve(1).seconds == expected(1)


def test_two_rows_apart_lower_nothing_but_their_own_time():
    calibration = measured(FakeBackend(side_ctx=4096), None)
    calibration.lower(2, 0.02, apart=True)
    assert calibration.curve(2).apart_s == 0.02
    assert calibration.curve(2).seconds == expected(2)


def test_one_step_is_measured_at_a_time():
    backend = FakeBackend()
    calibration = Calibration(backend, None)
    for count in range(1, 10):
        calibration.measure()
        assert backend.num_timed == count


def test_until_a_curve_is_whole_it_is_not_used():
    calibration = Calibration(FakeBackend(), None)
    while not calibration.curve(2).seconds:
        assert not calibration.done
        calibration.measure()
    assert calibration.curve(2).seconds.keys() == set(MEASURED_ROWS)


def test_what_was_measured_is_kept_and_used_again(tmp_path):
    measured(FakeBackend(), tmp_path / "speed")

    second = FakeBackend()
    calibration = measured(second, tmp_path / "speed")

    assert second.num_timed == 0
    assert calibration.curve(2).seconds == expected(2)
    assert calibration.curve(1).seconds == expected(1)


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured(FakeBackend(), None)
    again = FakeBackend()
    measured(again, None)
    assert again.num_timed > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "another model"}, {"max_threads": 4}, {"max_threads": 1},
        {"splits_evenly": True},
    ],
)  # fmt: skip
def test_another_model_number_of_threads_or_way_to_split_is_measured_for_itself(tmp_path, other):
    measured(FakeBackend(), tmp_path)

    second = FakeBackend(**other)
    calibration = measured(second, tmp_path)

    assert second.num_timed > 0
    assert calibration.curve(second.max_threads).seconds == expected(second.max_threads)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_measured_on_another_processor_is_not_believed(tmp_path):
    measured(FakeBackend(row_s=1.0), tmp_path, processor="a chip of long ago")
    second = FakeBackend()
    calibration = measured(second, tmp_path, processor="a chip of today")
    assert second.num_timed > 0
    assert calibration.curve(2).seconds == expected(2)
    assert len(list(tmp_path.iterdir())) == 2
    again = Calibration(FakeBackend(), tmp_path, processor="a chip of long ago")
    assert again.done
    assert again.curve(2).seconds[1] == 0.5


def test_the_processor_is_called_what_the_system_calls_it(tmp_path):
    measured(FakeBackend(), tmp_path)
    assert Calibration(FakeBackend(), tmp_path, processor=processor_name()).done
    assert not Calibration(FakeBackend(), tmp_path, processor="").done


def changed(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


def with_curve(**seconds):
    """The file, where the curve of two threads has other numbers."""

    def damage(text):
        kept = json.loads(text)
        kept["seconds"]["2"].update(seconds)
        return json.dumps(kept)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[1, 2]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: "\x00" * 100,
        changed(of="another model"),
        changed(seconds={}),
        changed(seconds=[1, 2]),
        changed(seconds={"2": {}}),
        changed(seconds={"2": {"1": 0.5}}),
        changed(seconds={"two": {"1": 0.5}}),
        changed(seconds={"2": None}),
        with_curve(**{"1": -1.0}),
        with_curve(**{"16": 0.0}),
        with_curve(**{"16": "fast"}),
        with_curve(**{"16": None}),
        with_curve(**{"5000": 1.0}),
    ],
)
def test_a_damaged_file_is_ignored_and_written_anew(tmp_path, damage):
    measured(FakeBackend(), tmp_path)
    whole = file_in(tmp_path).read_text("utf-8")
    file_in(tmp_path).write_text(damage(whole), "utf-8")

    backend = FakeBackend()
    calibration = measured(backend, tmp_path)

    assert backend.num_timed > 0
    assert calibration.curve(2).seconds == expected(2)
    assert json.loads(file_in(tmp_path).read_text("utf-8")) == json.loads(whole)


def test_bytes_that_are_no_text_are_ignored(tmp_path):
    measured(FakeBackend(), tmp_path)
    file_in(tmp_path).write_bytes(b"\xff\xfe\x00" * 50)
    backend = FakeBackend()
    measured(backend, tmp_path)
    assert backend.num_timed > 0


@pytest.mark.parametrize("room", [0, 1, 31])
def test_without_room_in_the_context_measuring_is_left_to_the_next_process(tmp_path, room):
    calibration = measured(FakeBackend(room=room), tmp_path)
    assert calibration.curve(2).seconds == {}

    second = FakeBackend()
    assert not Calibration(second, tmp_path).done
    assert measured(second, tmp_path).curve(2).seconds == expected(2)


def test_a_folder_that_cannot_be_written_costs_only_the_measuring(tmp_path):
    blocked = tmp_path / "speed"
    blocked.write_text("a file where the folder should be")
    assert measured(FakeBackend(), blocked).curve(2).seconds == expected(2)
    assert blocked.read_text() == "a file where the folder should be"


def test_what_was_cut_short_can_be_measured_again():
    backend = FakeBackend()
    calibration = Calibration(backend, None)
    for _ in MEASURED_ROWS:
        calibration.measure()
    backend.room = 0
    calibration.measure()
    assert calibration.done
    backend.room = 32
    calibration.again()
    while not calibration.done:
        calibration.measure()
    assert (calibration.curve(2).seconds, calibration.curve(1).seconds) == (
        expected(2),
        expected(1),
    )


def test_what_is_measured_again_while_the_machine_is_slow_is_lowered_to_what_steps_took():
    backend = FakeBackend(side_ctx=4096, slower=lambda nth: 1.4)
    calibration = measured(backend, None)
    calibration.again()
    calibration.lower(1, FakeBackend.cost(1, 2))
    calibration.lower(2, 0.001, apart=True)
    while not calibration.done:
        calibration.measure()
    assert calibration.curve(2).seconds == expected(2)
    assert calibration.curve(2).apart_s == 0.001


def test_what_was_disturbed_is_measured_again(tmp_path):
    backend = FakeBackend(disturbed=range(1, 73))
    calibration = measured(backend, tmp_path)
    slow = calibration.curve(2).seconds[1]
    assert slow > 1

    calibration.again()
    assert not calibration.done
    assert calibration.curve(2).seconds[1] == slow
    while not calibration.done:
        calibration.measure()

    assert calibration.curve(2).seconds == expected(2)
    assert Calibration(FakeBackend(), tmp_path).curve(2).seconds == expected(2)
