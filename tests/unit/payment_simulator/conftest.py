"""Both engines, one after the other."""

import pytest


@pytest.fixture(params=["reference", "kernel"])
def engine(request):
    return request.param
