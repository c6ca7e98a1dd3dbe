"""What a run says while it goes on: a line an iteration, and with `decisions` a line a decision, on stderr."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from labledger.console import print_answer


@dataclass(frozen=True)
class VerboseConfig:
    """What is said while a run goes on; nothing by default."""

    iterations: bool = False
    decisions: bool = False


@dataclass
class Progress:
    """Says it."""

    verbose: VerboseConfig
    max_iterations: int
    _began_s: float = field(default_factory=time.monotonic)

    def iteration(self, number: int, costs: Mapping[str, int], gap: int | None, tokens: int) -> None:
        """An iteration's profile was priced."""
        if not self.verbose.iterations:
            return
        banks = list(costs.items())
        shown = "  ".join(f"{name} {cents:,}" for name, cents in banks[:4]) + (" …" if len(banks) > 4 else "")
        parts = [f"iteration {number}/{self.max_iterations}", f"cost {sum(costs.values()):,} ({shown})"]
        parts += [] if gap is None else [f"Nash gap {gap:,}"]
        parts += [f"{tokens:,} tokens"] if tokens else []
        print_answer("   ".join([*parts, f"{time.monotonic() - self._began_s:.1f} s"]), to_stderr=True)

    def decision(self, agent_id: str, accepted: bool, reason: str) -> None:
        """A bank's policy was decided on."""
        if self.verbose.decisions:
            print_answer(f"  {agent_id}: {'accepted' if accepted else 'rejected'}: {reason}", to_stderr=True)
