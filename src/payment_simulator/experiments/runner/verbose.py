"""The log of a run while it goes on: a line per iteration, and with `decisions` a line per decision, on stderr."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from labledger.console import StderrProgress, print_answer
from labledger.untrusted_text import first_line
from payment_simulator.experiments.config import Convergence
from payment_simulator.experiments.llm_config import Price
from payment_simulator.experiments.nash_gap import NashGap
from payment_simulator.experiments.observed_day import OneDay
from payment_simulator.experiments.proposers.protocol import Interaction
from payment_simulator.experiments.runner.state import ExperimentState

MAX_PROBLEM = 300


@dataclass(frozen=True)
class VerboseConfig:
    """The lines that are printed while a run goes on: none by default; `progress` is where they are printed between."""

    iterations: bool = False
    decisions: bool = False
    progress: StderrProgress | None = None


@dataclass
class RunLog:
    """Prints the lines that `verbose` asks for; `price` and `budget` are those of a model's tokens."""

    verbose: VerboseConfig
    rules: Convergence
    price: Price | None = None
    budget: int | None = None
    _began_s: float = field(default_factory=time.monotonic)

    def day(self, day: OneDay | None) -> None:
        """Print the day that all costs of the run are of, where they are of one."""
        if day is not None and self.verbose.iterations:
            self._print(day.words)

    def working(self, state: ExperimentState, part: str) -> None:
        """Show how far the run is, in starts or in iterations that have begun, and what it works on."""
        if self.verbose.progress is not None:
            starts, iterations = (state.start, self.rules.starts), (state.iteration, self.rules.max_iterations)
            done, most = starts if self.rules.starts > 1 else iterations
            self.verbose.progress.update(done, most, part)

    def iteration(self, state: ExperimentState, costs: Mapping[str, int], gap: NashGap | None) -> None:
        """Print the costs in cents of an iteration that has begun, once its profile is evaluated."""
        if not self.verbose.iterations:
            return
        has_starts = self.rules.starts > 1
        banks = list(costs.items())
        shown = "  ".join(f"{name} {cents:,}" for name, cents in banks[:4]) + (" …" if len(banks) > 4 else "")
        start = [f"start {state.start}/{self.rules.starts}", f"iteration {state.iteration}"]
        parts = start if has_starts else [f"iteration {state.iteration}/{self.rules.max_iterations}"]
        parts.append(f"cost {sum(costs.values()):,} ({shown})")
        parts += [] if gap is None else [gap.phrase]
        parts += [f"{state.refused:,} refused"] if state.refused else []
        parts += [f"{state.tokens:,} tokens"] if state.tokens else []
        self._print("   ".join([*parts, f"{time.monotonic() - self._began_s:.1f} s"]))

    def asked(self, agent_id: str, refused: int) -> None:
        """Print that a model is asked for a bank's policy, again where answers to this question were `refused`."""
        again = f" again ({refused:,} refused)" if refused else ""
        if self.verbose.iterations:
            self._print(f"  {agent_id}: the model is asked{again}")

    def answered(
        self, state: ExperimentState, agent_id: str, interaction: Interaction, problem: str | None, refused: int
    ) -> None:
        """Print a model's answer: its seconds, its tokens and their price; the refusals and the tokens of the run."""
        if not self.verbose.iterations:
            return
        tokens = (interaction.prompt_tokens, interaction.completion_tokens)
        counts, price = "tokens not counted", ""
        if tokens[0] is not None and tokens[1] is not None:
            counts = f"{tokens[0]:,} tokens in, {tokens[1]:,} out"
            price = "" if self.price is None else self.price.words(tokens[0], tokens[1])
        total = state.refused + refused + (problem is not None)
        most = "" if self.budget is None else f" of {self.budget:,}"
        parts = [f"{interaction.latency_seconds:.1f} s", counts, price, f"{total:,} refused so far"]
        parts.append(f"{state.tokens if self.budget is None else state.spent:,}{most} tokens so far")
        self._print(f"  {agent_id}: answered: {', '.join(filter(None, parts))}")
        if problem is not None:
            self._print(f"  {agent_id}: refused: {first_line(problem, MAX_PROBLEM)}")

    def tell(self, text: str) -> None:
        """Print what a user of a model is to know while it is asked."""
        if self.verbose.iterations:
            self._print(f"  {text}")

    def decision(self, agent_id: str, accepted: bool, reason: str) -> None:
        """Print the decision on a bank's proposed policy."""
        if self.verbose.decisions:
            self._print(f"  {agent_id}: {'accepted' if accepted else 'rejected'}: {reason}")

    def _print(self, text: str) -> None:
        if self.verbose.progress is None:
            print_answer(text, to_stderr=True)
        else:
            self.verbose.progress.message(text)
