"""Equal policies: two documents by which a bank does the same."""

from collections.abc import Mapping
from dataclasses import replace

from payment_simulator.engine.reference.banks import allocation
from payment_simulator.experiments.evaluator import Profile
from payment_simulator.policy.builtin import Policy
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.policies import read_policy
from payment_simulator.scenario.banks import Agent

Agents = Mapping[str, Agent]


def is_same_policy(one: PolicyDocument, other: PolicyDocument, agent: Agent) -> bool:
    """Return True if both documents make a bank do the same, whatever its scenario.

    They do if they read alike but for the share of the pool, and that is as many cents: a share decides nothing else,
    and a tree that asks for it by name has its value inside.
    """
    return one == other or meaning(one, agent) == meaning(other, agent)


def is_same_profile(one: Profile, other: Profile, agents: Agents) -> bool:
    """Return True if every bank does the same in both."""
    return all(is_same_policy(policy, other[name], agents[name]) for name, policy in one.items())


def meaning(policy: PolicyDocument, agent: Agent) -> tuple[Policy, int]:
    """Return what is equal of two policies by which a bank does the same: how it reads, and the cents that it borrows.

    Raises:
        ValueError: it is no policy.
    """
    read, problems = read_policy(policy)
    if problems:
        raise ValueError(f"{agent.id}: {problems[0][1]}")
    return replace(read, fraction=None), allocation(agent, read)
