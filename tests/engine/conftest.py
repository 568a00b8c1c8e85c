"""Fixtures of the engine's tests."""

from __future__ import annotations

import functools

import pytest
import torch

from .small_models import make_model


@pytest.fixture(autouse=True)
def same_numbers():
    """PyTorch's random numbers are the same in a test whatever ran before it, or nothing did."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_model():
    """``small_model(kind)``: a small convolutional model, made once; nobody changes it."""
    return functools.cache(make_model)


@pytest.fixture(scope="session")
def fresh_model():
    """``fresh_model(kind)``: a small convolutional model of one's own."""
    return make_model


@pytest.fixture
def one_thread():
    """Small tensors are quicker on one thread, and sums are in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
