"""The log of a run while it goes on: a line per iteration, and with `decisions` a line per decision, on stderr."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from labledger.console import StderrProgress, print_answer


@dataclass(frozen=True)
class VerboseConfig:
    """The lines that are printed while a run goes on: none by default; `progress` is where they are printed between."""

    iterations: bool = False
    decisions: bool = False
    progress: StderrProgress | None = None


@dataclass
class RunLog:
    """Prints the lines that `verbose` asks for."""

    verbose: VerboseConfig
    max_iterations: int
    _began_s: float = field(default_factory=time.monotonic)

    def iteration(self, number: int, costs: Mapping[str, int], gap: int | None, tokens: int) -> None:
        """Print an iteration's costs, in cents, once its profile is evaluated."""
        if self.verbose.progress is not None:
            self.verbose.progress.update(number, self.max_iterations)
        if not self.verbose.iterations:
            return
        banks = list(costs.items())
        shown = "  ".join(f"{name} {cents:,}" for name, cents in banks[:4]) + (" …" if len(banks) > 4 else "")
        parts = [f"iteration {number}/{self.max_iterations}", f"cost {sum(costs.values()):,} ({shown})"]
        parts += [] if gap is None else [f"Nash gap {gap:,}"]
        parts += [f"{tokens:,} tokens"] if tokens else []
        self._print("   ".join([*parts, f"{time.monotonic() - self._began_s:.1f} s"]))

    def decision(self, agent_id: str, accepted: bool, reason: str) -> None:
        """Print the decision on a bank's proposed policy."""
        if self.verbose.decisions:
            self._print(f"  {agent_id}: {'accepted' if accepted else 'rejected'}: {reason}")

    def _print(self, text: str) -> None:
        if self.verbose.progress is None:
            print_answer(text, to_stderr=True)
        else:
            self.verbose.progress.message(text)
