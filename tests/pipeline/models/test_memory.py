"""Out of memory: the batch is halved until it fits, the size is remembered, everything else passes through."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.config import UserError
from pipeline.models import memory
from pipeline.models.memory import fitting, halved, in_fitting_batches


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_fitting", {})


class Device:
    """Fits so many rows at once."""

    def __init__(self, fits: int, error: Exception | None = None) -> None:
        self.fits, self.error, self.seen = fits, error or RuntimeError("CUDA error: out of memory"), list[int]()

    def __call__(self, rows: Sequence[int]) -> list[int]:
        self.seen.append(len(rows))
        if len(rows) > self.fits:
            raise self.error
        return [row * 10 for row in rows]


def test_batches_are_halved_until_they_fit_and_the_size_is_remembered() -> None:
    device = Device(2)
    for _ in range(2):
        done = in_fitting_batches("work", range(9), 8, device)
        assert [value for _, values in done for value in values] == [row * 10 for row in range(9)]
    assert device.seen == [8, 4, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1]
    assert (fitting("work", 8), fitting("work", 1), fitting("other", 8)) == (2, 1, 8)
    assert halved() == {"work": 2}


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_every_way_to_say_it_counts(error: Exception) -> None:
    assert len(in_fitting_batches("work", range(4), 4, Device(3, error))) == 2


def test_one_row_that_does_not_fit_ends_the_build_in_one_line() -> None:
    with pytest.raises(UserError, match=r'work: out of memory with one picture .*resident = "one"') as told:
        in_fitting_batches("work", range(4), 4, Device(0))
    assert "\n" not in str(told.value)


def test_other_errors_are_not_want_of_memory() -> None:
    device = Device(0, ValueError("wrong shape"))
    with pytest.raises(ValueError, match="wrong shape"):
        in_fitting_batches("work", range(4), 4, device)
    assert device.seen == [4]
    assert halved() == {}
