"""Policies from a language model, asked through pydantic-ai, which is imported when a proposer is made."""

import asyncio
import logging
import os
import ssl
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from labledger.errors import ConfigError
from labledger.extras import install_command
from labledger.redaction import key_problem, redactor
from labledger.tls import tls_reason
from labledger.untrusted_text import UNPRINTABLE, first_line
from labledger.yaml_files import describe_errors
from payment_simulator.experiments.llm_config import Llm
from payment_simulator.experiments.proposers.chat_model import chat_model, token_counts
from payment_simulator.experiments.proposers.prompt import SYSTEM_PROMPT
from payment_simulator.experiments.proposers.protocol import (
    DecisionContext,
    EndpointError,
    Interaction,
    UnusableAnswerError,
)
from payment_simulator.policy.documents import PolicyDocument
from payment_simulator.policy.fields_and_actions import TREE_KINDS
from payment_simulator.scenario.json_files import parse_json

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model

KEYS = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
MAX_ANSWER = 200_000
"""Characters; a policy of a tenth of them is large."""
MOST_READ = 2 * MAX_ANSWER
"""Characters of an answer in which a key is looked for."""
MAX_ERROR = 1_000
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
"""Before a request is sent again, whatever a server asks for."""
RETRIED_STATUS = (408, 409, 429)
ENDINGS = {
    "length": "the answer was cut off at the model's limit of tokens; make it shorter",
    "content_filter": "the model or its provider withheld the answer",
}


BARE = {"type", "version", "parameters", "document", *TREE_KINDS}
"""Keys that a policy has, and the object that we ask for has not."""


class Answer(BaseModel):
    """The JSON object that a model is asked for."""

    policy: dict[str, Any]
    reasoning: str = ""


class LlmProposer:
    """Asks a model for a policy, once per call; the key is read from the environment and appears nowhere else.

    `tell` is called with what goes wrong before a request is sent again.

    Raises:
        EndpointError: the environment has no key for the model, or one that cannot be sent.
        ConfigError: pydantic-ai is not installed.
    """

    def __init__(self, llm: Llm, tell: Callable[[str], None] = lambda text: None) -> None:
        self._llm = llm
        self._tell = tell
        self._system_prompt = SYSTEM_PROMPT if llm.system_prompt is None else llm.system_prompt
        key = _key_of(llm)
        self._redactor = redactor(key)
        self._model = _model_of(llm, key)
        self._last: Interaction | None = None

    async def generate_policy(
        self, *, agent_id: str, prompt: str, current_policy: PolicyDocument, context: DecisionContext
    ) -> PolicyDocument:
        """Return the policy in the model's answer to `prompt`; it is not checked here.

        Each request may take `timeout_seconds` as a whole. One that fails in a way that may pass (no connection, no
        answer in time, too many requests, a server's error) is sent again, at most `max_retries` times.

        Raises:
            UnusableAnswerError: the answer has no policy in it; `get_last_interaction` has what it was and cost.
            EndpointError: no answer: the server refuses, or fails again and again; in its own words.
        """
        self._last = None
        response, latency_s = await self._ask(prompt)
        text = self._keepable(response.text or "", MOST_READ)[: MAX_ANSWER + 1]
        usage = response.usage
        counts = token_counts(*getattr(self._model, "raw_usage", (usage.input_tokens, usage.output_tokens)))
        self._last = Interaction(
            prompt_tokens=counts.prompt,
            completion_tokens=counts.completion,
            uncounted=None if counts.reason is None else self._redactor.quoted(counts.reason),
            latency_seconds=latency_s,
            model=self._redactor.quoted(str(response.model_name or self._llm.model)),
            prompt=self._keepable(f"{self._system_prompt}\n\n{prompt}"),
            response=text,
        )
        try:
            return policy_in(text)
        except UnusableAnswerError as error:
            ending = ENDINGS.get(response.finish_reason or "")
            raise UnusableAnswerError(f"{ending} ({error})" if ending else str(error)) from None

    def get_last_interaction(self) -> Interaction | None:
        """Return the last answer with its cost; None before an answer."""
        return self._last

    async def _ask(self, prompt: str) -> "tuple[ModelResponse, float]":
        """Return the answer, and the seconds from its request to its end."""
        from pydantic_ai.direct import model_request
        from pydantic_ai.exceptions import AgentRunError, UsageExtractionFailedWarning, UserError
        from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart
        from pydantic_ai.models.openai import OpenAIChatModelSettings

        limit_s = self._llm.timeout_seconds
        settings = OpenAIChatModelSettings(timeout=limit_s, request_timeout=limit_s, max_retries=0)
        if self._llm.temperature is not None:
            settings["temperature"] = self._llm.temperature
        if self._llm.reasoning_effort is not None:
            settings["openai_reasoning_effort"] = self._llm.reasoning_effort
        message = ModelRequest(parts=[SystemPromptPart(self._system_prompt), UserPromptPart(prompt)])
        attempt = 0
        while True:
            began_s = time.monotonic()
            try:
                # Connections last for a request: they belong to the caller's event loop.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UsageExtractionFailedWarning)  # `uncounted` says it in our words
                    async with self._model:
                        response = await model_request(
                            self._model, [message], model_settings=settings, instrument=False
                        )
                return response, time.monotonic() - began_s
            except (AgentRunError, UserError) as error:
                problem, wait_s = self._described(error), _wait_s(error, attempt)
            except Exception as error:  # of the client, which reads an answer before it has looked at its shape
                words = f"the answer has a shape that no model's has ({type(error).__name__}: {error})"
                problem, wait_s = self._described(EndpointError(words)), None
            # Raised out here, where it has no context: that may have the key, in the request or in its echo.
            if wait_s is None or attempt == self._llm.max_retries:
                tries = f" ({attempt + 1} tries)" if attempt else ""
                raise EndpointError(f"{problem}{tries}")
            tries = f"try {attempt + 2} of {self._llm.max_retries + 1}"
            self._tell(f"{problem}; asking again in {wait_s:.3g} s ({tries})")
            await asyncio.sleep(wait_s)
            attempt += 1

    def _described(self, error: Exception) -> str:
        """Return the message of an error: the server's or the transport's own, and a hint."""
        status = getattr(error, "status_code", None)
        words = self._redactor.quoted(_words_of(error), MAX_ERROR)
        where = f"{self._llm.model} at {self._llm.base_url}" if self._llm.base_url else self._llm.model
        hints = {401: _variables(self._llm), 403: _variables(self._llm), 404: "the model's name and base_url"}
        hint = f"; check {hints[status]}" if status in hints else ""
        return f"{where}: {f'HTTP {status}: ' if status else ''}{words}{hint}"

    def _keepable(self, text: str, most: int | None = None) -> str:
        """A text from outside without the key, NUL and halves of surrogate pairs, which no database can hold.

        Of a text of over `most` characters it is the start, since looking for a key in all of it takes its time.
        """
        is_cut = most is not None and len(text) > most
        kept = text[:most].encode(errors="replace").decode().replace("\0", UNPRINTABLE)
        return self._redactor.hide(kept, is_cut=is_cut)


def policy_in(text: str) -> PolicyDocument:
    """Return the policy in a model's answer, whatever text surrounds the one JSON object: its `policy`, or itself.

    Raises:
        UnusableAnswerError: there is none, or the object has another shape.
    """
    if len(text) > MAX_ANSWER:
        raise UnusableAnswerError(f"the answer has more than {MAX_ANSWER:,} characters; make it shorter")
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0:
        raise UnusableAnswerError("the answer has no JSON object in it")
    try:
        data = parse_json(text[begin : max(begin, end) + 1], "the answer")
        if isinstance(data, dict) and "policy" not in data and not BARE.isdisjoint(data):
            return {key: value for key, value in data.items() if key != "reasoning"}
        return Answer.model_validate(data).policy
    except ConfigError as error:
        raise UnusableAnswerError(str(error)[:MAX_ERROR]) from None
    except ValidationError as error:
        problems = describe_errors(error, Answer, data, lambda _: "the answer")
        raise UnusableAnswerError("\n".join(problems)[:MAX_ERROR]) from None


def _wait_s(error: Exception, attempt: int) -> float | None:
    """Return the seconds to wait before a retry; None where a retry would change nothing."""
    from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, ModelQuotaExceededError

    if not isinstance(error, ModelAPIError) or isinstance(error, ModelQuotaExceededError):
        return None
    if _refused_certificate(error) is not None:
        return None
    if isinstance(error, ModelHTTPError) and error.status_code < 500 and error.status_code not in RETRIED_STATUS:
        return None
    asked_s: float | None = error.retry_after  # of the header, seconds or a date
    return min(FIRST_WAIT_S * 2**attempt if asked_s is None else asked_s, LONGEST_WAIT_S)


def _words_of(error: BaseException) -> str:
    """The message of the server where there is one, else that of the transport and of its first cause."""
    body = getattr(error, "body", None)
    inside = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inside, dict):
        return str(inside.get("message", inside))
    if inside or hasattr(error, "status_code"):
        return str(inside or "without a word")
    if (refused := _refused_certificate(error)) is not None:
        return tls_reason(refused)
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    text, cause = (first_line(each, MAX_ERROR) for each in (error, first))
    return text if cause in text else f"{text}: {cause}"


def _refused_certificate(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Return what the check of a server's certificate raised, of all that led to an error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error


def _variables(llm: Llm) -> str:
    return " or ".join(KEYS[llm.model.partition(":")[0]])


def _key_of(llm: Llm) -> str | None:
    names = KEYS[llm.model.partition(":")[0]]
    found = ((name, os.environ.get(name, "").strip()) for name in names)
    name, key = next(((name, key) for name, key in found if key), (names[0], ""))
    if not key and llm.base_url is None:
        raise EndpointError(f"{llm.model}: no key in the environment; set {_variables(llm)}")
    if problem := key_problem(key):
        raise EndpointError(f"{llm.model}: {name}: {problem}")
    return key or None


def _model_of(llm: Llm, key: str | None) -> "Model":
    provider, _, name = llm.model.partition(":")
    try:
        if provider == "anthropic":
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            return AnthropicModel(name, provider=AnthropicProvider(api_key=key))
        if provider == "google":
            from pydantic_ai.models.google import GoogleModel
            from pydantic_ai.providers.google import GoogleProvider

            # What Google's client warns of, as of two keys in the environment, is for logs that someone keeps.
            logging.getLogger("google_genai").addHandler(logging.NullHandler())
            return GoogleModel(name, provider=GoogleProvider(api_key=key))
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        if llm.base_url is None:
            return chat_model(name, provider=OpenAIProvider(api_key=key))
        return chat_model(name, provider=OpenAICompatibleProvider("server", base_url=llm.base_url, api_key=key))
    except ImportError as error:
        raise ConfigError(f"proposer: llm needs pydantic-ai ({error}); run {install_command('llm')}") from error
