"""Profiles of hypothesis: it tries as many examples as a property names, and five times as many in `make test-slow`."""

from typing import Any

from hypothesis import settings

HYPOTHESIS_OWN = 100
settings.register_profile(
    "quick", max_examples=HYPOTHESIS_OWN, deadline=None
)  # a busy machine is no falsifying example
settings.register_profile("deep", max_examples=5 * HYPOTHESIS_OWN, deadline=None)
settings.load_profile("quick")  # unless pytest is told another: --hypothesis-profile


def examples(number: int, **further: Any) -> settings:
    """Settings for so many examples in the quick profile, and for as many times more in another as that has more."""
    return settings(max_examples=number * settings.default.max_examples // HYPOTHESIS_OWN, **further)
