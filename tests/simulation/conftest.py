"""Thousands of rounds run here: none of them is logged."""

import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _silence(plain_log: None) -> None:
    """For each test, as each leaves the log as it was before any."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
