"""What goes wrong in one process is raised by name in every process, and none waits for another for ever."""

from __future__ import annotations

import pytest

from dimtyped.distributed.exchange import Said
from dimtyped.distributed.reported_calls import ReportedCall, error_of
from tests.distributed import rank_workers as workers

DIFFERING = """\
{where}: {name} is {sizes}, which split one model over 'tp'

    rank {rank} of {of}

  Processes that split one model must be given the same inputs: draw them by the place on the mesh's other axes."""


def differing(rank, sizes, of=2, where="GPT.forward", name="batch"):
    return DIFFERING.format(rank=rank, of=of, sizes=sizes, where=where, name=name)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What two processes have said, one after the other."""
    found = [workers.other_batch, workers.uneven, workers.plain, workers.passing, workers.compiled, workers.dynamic]
    return workers.run(tmp_path_factory.mktemp("ranks"), {worker.__name__: worker for worker in found})


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
class TestTwoProcesses:
    def test_another_batch_is_told_in_both_and_the_next_call_passes(self, told, rank):
        first, second = told["other_batch"][rank]
        assert first == f"DimensionError: {differing(rank, '4 on rank 0, 3 on rank 1')}"
        assert second == "passed"

    def test_devices_that_do_not_divide_a_size(self, told, rank):
        (text,) = told["uneven"][rank]
        assert f"dimtyped: rank {rank} of 2: `x.view(" in text
        assert "(heads*head)@tp=24 is split over the 2 devices of tp, which do not divide 3\n" in text

    def test_a_module_without_annotations(self, told, rank):
        where, name = "Plain.forward", "axis 0 of `scale`"
        first, second = told["plain"][rank]
        assert first == differing(rank, "1 on rank 0, 2 on rank 1", where=where, name=name)
        assert second == "(2, 16)"

    def test_a_right_model_is_unchanged_and_keeps_nothing(self, told, rank):
        assert told["passing"][rank] == ["passed", "(2, 6, 40)"]

    def test_compiled(self, told, rank):
        other_batch = differing(rank, "4 on rank 0, 5 on rank 1", where="FeedForward.forward")
        wrong = "FeedForward.forward: argument `x` does not fit: embed is 7, must be 8"
        wrong = f"FeedForward.forward: rank 0 cannot make this call: {wrong}" if rank else wrong
        said = told["compiled"][rank]
        assert len(said) == 2 * 2 * 2 * 3
        for start in range(0, len(said), 6):
            is_whole = start % 12 == 0  # `fullgraph=True`
            for expected, texts in ((other_batch, said[start:][:3]), (wrong, said[start:][3:6])):
                for text in texts[:2]:
                    assert expected in text
                    assert is_whole or text.startswith(f"DimensionError: {expected}")
                assert texts[2] == "passed"

    def test_sizes_stay_symbols(self, told, rank):
        assert told["dynamic"][rank] == ["1"]


@pytest.mark.slow
def test_four_processes_with_sharded_parameters(tmp_path):
    said = workers.run(tmp_path, {"": workers.other_batch_under_fsdp}, processes=4)[""]
    for rank in range(4):
        first, second = said[rank]
        assert first == f"DimensionError: {differing(rank, '4 on rank 2, 3 on rank 3', of=4)}"
        assert second == "passed"


@pytest.mark.slow
def test_a_process_that_refuses_its_call_and_ends(tmp_path):
    (own,), (other,) = workers.run(tmp_path, {"": workers.wrong_call})[""]
    refusal = "GPT.forward: argument `tokens` does not fit: its dtype is float32, must be a signed integer dtype"
    assert own.startswith(f"DimensionError: {refusal}\n")
    assert "called at rank_workers.py" in own
    assert other == f"DimensionError: GPT.forward: rank 0 cannot make this call: {refusal}\n\n    rank 1 of 2"


@pytest.mark.slow
def test_a_process_that_does_not_come(tmp_path):
    (first,), (second,) = workers.run(tmp_path, {"": workers.absent}, timeout=5.0)[""]
    told = "GPT.forward: rank 1 made no such call within 5 s of rank 0 of 2"
    assert first == f"DistStoreError: {told}"
    assert second == f"DimensionError: GPT.forward: rank 0 cannot make this call: {told}\n\n    rank 1 of 2"


# Without processes ----------------------------------------------------------------------------------------------------


def compared(own, others, ranks=range(4)):
    """The error of one process, given what each has said; rows of two processes split one model."""
    heard = {rank: Said((rank // 2 * 2, rank // 2 * 2 + 1), sizes) for rank, sizes in others.items()}
    return error_of(ReportedCall("Model.forward", own), heard, tuple(ranks), "tp", 30.0)


def test_rows_may_differ():
    same = {"batch": 4, "seq": 8}
    other = {"batch": 4, "seq": 7}
    assert compared(same, {0: same, 1: same, 2: other, 3: other}) is None
    error = compared(same, {0: same, 1: same, 2: same, 3: other})
    assert str(error).startswith("Model.forward: seq is 8 on rank 2, 7 on rank 3, which split")
    assert (error.where, error.dim, error.expected, error.actual) == ("Model.forward", "seq", 7, 8)
    assert error.bindings == same


def test_a_name_that_one_call_leaves_out_is_not_compared():
    assert compared({"batch": 4}, {0: {"batch": 4}, 1: {"batch": 4, "mask": 2}}, ranks=(0, 1)) is None


def test_a_known_cause_is_told_before_a_missing_process():
    error = compared({"batch": 4}, {0: {"batch": 4}, 1: {"batch": 5}})
    assert "batch is 4 on rank 0, 5 on rank 1" in str(error)
    assert "ranks 2, 3 made no such call within 30 s" in str(compared({}, {0: {}, 1: {}}))
