"""The garbage collector stands aside for as long as it is told to, and no longer."""

import gc

import pytest

from keystead.kernel.collector import paused


def test_it_collects_again_whatever_happened_meanwhile() -> None:
    with paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), paused():
        raise ImportError
    assert gc.isenabled()


def test_whoever_keeps_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
