"""One risk over several processes: real processes, real sums, and the numbers of one process."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from hessium.errors import InputError, SharedDataWarning
from hessium.problem.ranks import Ranks
from support.worker_processes import answers_of, environment

CASES = ["weighted", "tied", "attention", "squared", "lonely", "terms"]
Answers = list[dict[str, Any]]


@pytest.fixture(
    scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)], ids=["2 ranks", "4 ranks"]
)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return answers_of("support.rank_worker", request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_one_process(answers: Answers, name: str) -> None:
    found = [one[name] for one in answers]
    errors = found[0]["errors"]
    assert max(errors.values()) < 1e-12, errors
    assert len({one["bits"] for one in found}) == 1
    assert all(one["repeats"] and one["symmetric"] for one in found)


def test_shards_are_unequal_and_some_are_empty(answers: Answers) -> None:
    assert len({one["weighted"]["batches"] for one in answers}) > 1
    assert 0 in {one["lonely"]["batches"] for one in answers}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bad_data_on_one", ["InputError: rank 1: data: inputs of batch 0 have"]),
        ("training_mode_on_one", ["InputError: rank 1: model: Dropout '3' is in training"] * 3),
        ("other_model", ["InputError: model: parameters or buffers of rank 1 differ"]),
        ("other_vectors", [*["InputError: process_group: rank 1 does 'product' with another"] * 2,
                           *["InputError: process_group: rank 1 does 'values' with another"] * 2]),
        ("other_loss", [f"InputError: loss: settings of rank 1 differ from those of rank 0 ({one}"
                        for one in ("first 'label_smooth", "first 'weight", "first 'num_samples")]),
        ("not_finite_outputs_on_one", ["NonFiniteInputError: rank 1: model: "]),
        ("other_calls", ["InputError: process_group: rank 0 is at 'values', rank 1 at 'gradien"]),
        ("coupled_loss", ["InputError: rank 0: loss: over 6 samples it is"]),
        ("no_data_at_all", ["InputError: data: no batches"]),
        ("refused", ["InputError: risk: its data are shared by"]),
        ("without_group", ["InputError: process_group: int"]),
    ],
)  # fmt: skip
def test_an_error_on_one_rank_is_raised_on_all(
    answers: Answers, name: str, told: list[str]
) -> None:
    for one in answers:
        assert one[name] == answers[0][name]
        for found, start in zip(one[name], told, strict=True):
            assert found.startswith(start)


def test_parts_that_are_not_disjoint_are_noticed(answers: Answers) -> None:
    for padded, equal, disjoint in (one["data_of_all"] for one in answers):
        assert len(padded) == len(equal) == 1
        assert padded[0].startswith("data: DistributedSampler repeats 1 of 7 samples")
        assert equal[0].startswith("data: ranks 0 and 1 hold the same samples")
        assert disjoint == []


def test_a_monitor_measures_the_data_of_all(answers: Answers) -> None:
    for errors, budget, state in (one["monitored"] for one in answers):
        assert max(errors) < 1e-9
        assert budget.startswith("InputError: budget: 0.1; processes that share")
        assert state.startswith(
            "InputError: process_group: rank 1 does 'product' with another vector"
        )


def test_a_process_outside_of_the_group_is_told_so(answers: Answers) -> None:
    first, *others = (one["member"] for one in answers)
    assert first == "no error"
    told = "InputError: process_group: this process does not belong to it"
    assert all(one.startswith(told) for one in others)


def test_the_script_of_the_how_to(answers: Answers) -> None:
    assert max(one["documented"] for one in answers) < 1e-5  # in single precision


def test_distributed_wrappers_are_taken_off(answers: Answers) -> None:
    for names, refusal in (one["wrapped"] for one in answers):
        assert names == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert refusal.startswith("InputError: model: its part '0' is in DistributedDataParallel")


def test_a_product_sends_its_vectors_twice_at_most(answers: Answers) -> None:
    size = len(answers)
    for dim, sent in (one["traffic"] for one in answers):
        block, header = 5 * dim * 8, 64
        assert sent <= (size - 1) * (2 * (block / size + 8) + header)


def test_a_step_waits_four_times_for_the_other_ranks(answers: Answers) -> None:
    """Gather, header, reduce-scatter and one sum; a fifth of the steps may need one more."""
    for lanczos, three, krylov in (one["exchanges"] for one in answers):
        assert 4 <= lanczos <= 4.8
        assert 4 <= three <= 4.8
        assert 6 <= krylov <= 6.8


def test_work_resumes_from_the_state_that_all_ranks_wrote(answers: Answers) -> None:
    for one in answers:
        for files, same, shorter in one["resumed"]:
            assert same
            assert shorter
            assert files.count(".json") == 1
            assert files.count(".safetensors") % len(answers) == 0
            assert len(files) > 1


def test_another_number_of_processes_resumes(answers: Answers) -> None:
    assert all(one["resumed_by_other_numbers"] == [True] * 4 for one in answers)


def test_every_rank_holds_its_share_of_a_basis(answers: Answers) -> None:
    for mine, alone in (one["shared_basis"]["bytes"] for one in answers):
        for share, whole in zip(mine, alone, strict=True):
            assert whole / len(answers) <= share <= 1.1 * whole / len(answers)


def test_products_with_shares_send_every_vector_twice(answers: Answers) -> None:
    """One all-gather, one reduce-scatter, and a header of 64 bytes."""
    for one in (answer["shared_basis"] for answer in answers):
        block = 3 * -(-one["dim"] // len(answers)) * 8
        assert one["sent"] == (len(answers) - 1) * (2 * block + 64)


def test_ranks_hold_together_what_one_process_cannot(answers: Answers) -> None:
    """Ten eigenvalues within 25 vectors for each process; one process needs 27."""
    ends = list[int]()
    for one in (answer["shared_basis"] for answer in answers):
        assert one["refusal"].startswith("InputError: max_bytes")
        assert one["eigenvalues"] < 1e-12
        assert one["residuals"] < 1e-12
        assert one["lengths"] < 1e-12
        assert one["same"]
        shape, ((start, stop),) = one["rows"]
        assert shape == [stop - start, 10]
        ends += [start, stop]
        assert max(one["deflated"]) < 1e-12
        assert "gathered" in one["partial"]
    assert ends == sorted(ends)
    assert (ends[0], ends[-1]) == (0, answers[0]["shared_basis"]["dim"])


def test_products_with_shares_are_those_with_whole_vectors(answers: Answers) -> None:
    for one in answers:
        for divided, error, untouched in one["sums_of_operators"]:
            assert divided
            assert error < 1e-12
            assert untouched


def test_a_product_that_fails_on_one_rank_fails_on_all(answers: Answers) -> None:
    assert all(one["not_finite_on_one"] == answers[0]["not_finite_on_one"] for one in answers)
    (nan, kept), (inf, _), (failed, _) = answers[0]["not_finite_on_one"]
    assert nan.startswith("NonFiniteError")
    assert nan.endswith("(after 5 products)")
    assert len(kept) == 3
    assert inf == nan
    assert failed == "RuntimeError: rank 1: RuntimeError: out of ideas"


def test_different_estimates_are_refused(answers: Answers) -> None:
    for one in answers:
        for told in one["different_estimates"]:
            assert told.startswith("InputError: process_group: rank 0 is at 'eigenpairs(k=")


def test_a_group_of_one_process_gives_the_numbers_without_a_group(answers: Answers) -> None:
    errors = answers[0]["group_of_one"]
    assert len(errors) > 20
    assert max(errors.values()) < 1e-12, errors


@pytest.mark.gpu
def test_a_group_of_one_process_with_nccl(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    command = [sys.executable, "-m", "support.one_rank", "nccl", "cuda"]
    file = tmp_path / "errors.json"
    subprocess.run([*command, str(file)], env=environment(), check=True, timeout=300)
    errors = json.loads(file.read_text())
    assert max(errors.values()) < 1e-12, errors


def test_one_process_sends_nothing() -> None:
    ranks, vector = Ranks(), torch.ones(3)
    assert ranks.all_sum(vector) is vector
    assert ranks.all_fsum([0.1, 0.2]) == [0.1, 0.2]
    assert ranks.gathered({"a": 1}) == [{"a": 1}]
    assert ranks.agree(True)
    assert not ranks.agree(False)
    assert ranks.bytes_sent == 0
    with pytest.raises(InputError, match="own"), ranks.together("work"):
        raise InputError("own")


def test_a_forgotten_group_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.warns(SharedDataWarning, match="2 processes were started together"):
        Ranks()
    monkeypatch.setenv("WORLD_SIZE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ranks()
