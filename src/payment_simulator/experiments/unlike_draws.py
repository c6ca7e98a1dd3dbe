"""The draws of a run's final score beside those that its decisions saw: a rare payment may be in one set only."""

from payment_simulator.experiments.evaluator import Cents, Evaluator, Profile, Purpose, mean_cents


def unlike_draws(evaluator: Evaluator, profile: Profile) -> str | None:
    """Return in a line that one set of draws saw no days like those of the other; None where it does not look so.

    It looks so where the mean cost of the profile on either set lies beyond every single draw of the other. Costs are
    of all banks together, in cents.

    Raises:
        ConfigError: the profile cannot be evaluated.
    """
    if not evaluator.is_drawn:
        return None
    seen, final = (
        evaluator.costs(profile, purpose).sum(axis=(1, 2)) for purpose in (Purpose.EVALUATION, Purpose.FINAL)
    )
    if not (_is_beyond(final, seen) or _is_beyond(seen, final)):
        return None
    return (
        f"these policies cost {mean_cents(final):,} on the final draws ({_range(final)}) and {mean_cents(seen):,} on "
        f"those of the evaluation ({_range(seen)}): one saw no days like the other's; raise num_samples"
    )


def _is_beyond(one: Cents, other: Cents) -> bool:
    """Return True if the mean of `one` lies beyond every draw of `other`."""
    return not other.min() <= one.mean() <= other.max()


def _range(costs: Cents) -> str:
    low, high = int(costs.min()), int(costs.max())
    return f"each {low:,}" if low == high else f"from {low:,} to {high:,}"
