"""Small work takes one thread, large work what is set; what was set is restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import hessium as hs
from hessium._threads import SMALL_MATRIX, _blas, _set, blas_threads
from hessium.linalg.threads import SMALL_KERNEL, dense_algebra, network_passes, torch_threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Two threads in all pools, as a user has them."""
    before, libraries = torch.get_num_threads(), _blas().lib_controllers
    numbers = [library.num_threads for library in libraries]
    torch.set_num_threads(2)
    for library in libraries:
        _set(library, 2)
    yield
    torch.set_num_threads(before)
    for library, number in zip(libraries, numbers, strict=True):
        _set(library, number)


def pools() -> tuple[int, int]:
    return torch.get_num_threads(), max(lib.num_threads for lib in _blas().lib_controllers)


def test_small_matrices_take_one_thread_and_large_ones_all() -> None:
    assert pools() == (2, 2)
    with dense_algebra(SMALL_MATRIX - 1):
        assert pools() == (1, 1)
    with dense_algebra(SMALL_MATRIX):
        assert pools() == (2, 2)
    assert pools() == (2, 2)


def test_large_work_inside_small_work_takes_what_was_set() -> None:
    with dense_algebra(10):
        with network_passes(SMALL_KERNEL):
            assert torch.get_num_threads() == 2
            with network_passes(1.0):
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 2
        assert pools() == (1, 1)
    assert pools() == (2, 2)


def test_never_more_threads_than_were_set() -> None:
    torch.set_num_threads(1)
    with torch_threads(one=False):
        assert torch.get_num_threads() == 1


def test_numbers_are_restored_after_exceptions() -> None:
    with pytest.raises(ZeroDivisionError), dense_algebra(10):
        raise ZeroDivisionError
    assert pools() == (2, 2)


def test_other_python_threads_keep_their_pool() -> None:
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def other() -> None:
        with dense_algebra(10):
            inside.set()
            leave.wait(10)
            seen.append(torch.get_num_threads())

    worker = threading.Thread(target=other)
    with blas_threads(10):
        worker.start()
        assert inside.wait(10)
        assert torch.get_num_threads() == 2  # the number belongs to the Python thread
    assert pools()[1] == 1  # the other thread is still inside
    leave.set()
    worker.join()
    assert seen == [1]
    assert pools() == (2, 2)


SEEN: set[int] = set()


class Watched(nn.Module):
    """Notes the number of threads of its forward passes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        SEEN.add(torch.get_num_threads())
        return torch.tanh(self.layer(x))


@pytest.mark.parametrize(("width", "samples", "threads"), [(4, 8, 1), (128, 256, 2)])
def test_products_take_one_thread_where_the_network_is_small(
    width: int, samples: int, threads: int
) -> None:
    torch.manual_seed(0)
    model = Watched(width)
    x = torch.randn(samples, width)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, torch.zeros_like(x)))
    assert risk.survey.kernel_size == samples * width * width
    SEEN.clear()
    hs.Hessian(risk)
    assert threads in SEEN
    assert max(SEEN) == threads
    assert pools() == (2, 2)


def test_estimators_restore_the_pools() -> None:
    matrix = torch.diag(torch.arange(1.0, 31.0, dtype=torch.float64))
    hs.eigenpairs(matrix, 3)
    hs.spectrum(matrix)
    hs.spectral_measure(matrix, probes=2, steps=10).cdf(5.0)
    assert pools() == (2, 2)


def test_results_do_not_depend_on_the_setting_where_work_is_small() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2)).double()
    x = torch.randn(20, 5, dtype=torch.float64)
    risk = hs.EmpiricalRisk(model, nn.MSELoss(), (x, x[:, :2]))
    vector = torch.randn(risk.dim, dtype=torch.float64)
    found = []
    for number in (1, 2):
        torch.set_num_threads(number)
        found.append(hs.Hessian(risk) @ vector)
    assert torch.equal(*found)
