"""The openai backend: a server, attached or launched, and requests streamed from it under a load."""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labledger.console import Progress
from labledger.extras import missing
from labledger.files import uninterrupted
from labledger.redaction import redactor
from labledger.untrusted_text import SHOWN, clean
from llenergymeasure.backends.kept import Kept
from llenergymeasure.backends.openai.client.http import Client
from llenergymeasure.backends.openai.client.probe import unlisted_remarks, why_no_token
from llenergymeasure.backends.openai.client.records import ServedRequest
from llenergymeasure.backends.openai.client.refused_fields import left_out_remark, may_be_of_a_field, named_fields
from llenergymeasure.backends.openai.client.request_body import RequestBody, RequestTemplate
from llenergymeasure.backends.openai.client.server_facts import server_facts
from llenergymeasure.backends.openai.load.arrivals import StopRule
from llenergymeasure.backends.openai.load.collector import MOST_TEXT, ResponseCollector
from llenergymeasure.backends.openai.load.driver import drive
from llenergymeasure.backends.openai.load.finish_reasons import odd_reasons_remark
from llenergymeasure.backends.openai.load.sent_fields import hides_reasoning
from llenergymeasure.backends.openai.load.token_evidence import most_stop_tokens
from llenergymeasure.backends.openai.load.tokenizer import (
    MOST_CHARACTERS,
    has_tokenizer,
    load_tokenizer,
    prompt_tokens,
    required_tokenizer,
    tokenizer_place,
)
from llenergymeasure.backends.openai.server.server import KeptServer, Server
from llenergymeasure.backends.openai.settings import api_key, request_template, run_keys, stop_rule, strategy
from llenergymeasure.backends.protocol import RunContext
from llenergymeasure.backends.pytorch.folders import hub_commit
from llenergymeasure.config.datasets import SyntheticDataset
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.paths import local_folder
from llenergymeasure.domain.beginnings import begun_anew
from llenergymeasure.domain.model import DecoderShape, ModelFacts
from llenergymeasure.domain.requests import Batch, FailedRequest, Request
from llenergymeasure.errors import BackendError

SLICE_S = 0.25
"""Seconds between two looks at what has ended; a signal waits for so long at most."""

GONE_AFTER = 20
"""Requests in a row that find no server: then there is none."""

LEFT_OPEN = (
    "The server did not end {count} of its streams behind [DONE], which is where their answers end here: each of these "
    "connections was closed, and another request had to open one."
)

PROBE_EVERY_S = 1.0
STILL_LOADING = 503

PASSING, PROBES = (429, 502, 503, 504), 4
"""Statuses of HTTP that mostly pass, and how often a server that answers with one is probed."""


def build(config: ExperimentConfig, context: RunContext) -> "OpenaiBackend":
    """Return the backend of one run; its server is not started."""
    return OpenaiBackend(config, context.log, context.corpus, context.progress, context.kept)


class OpenaiBackend:
    """Measures a server: see `backends.protocol.Backend`.

    The output of a server that is launched goes to `log`; `corpus` returns the text that a random model's tokenizer is
    trained on; `progress` shows how long the start takes.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        log: Path,
        corpus: Callable[[], str],
        progress: Progress,
        kept: Kept | None = None,
    ) -> None:
        self._config = config
        self._progress = progress
        self._kept = kept
        self.server = Server(config, log, corpus, kept.take(KeptServer) if kept is not None else None)
        self._template: RequestTemplate = request_template(config, self.server.model_name)
        self._keys = redactor(*run_keys(config).values())
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._tokenizer: Any = None
        self._keeps_texts = False
        self._requests: list[Request] = []
        self._bodies: list[RequestBody] = []
        self._noted: list[str] = []
        self._warmups = self._warmup_sent = 0
        self._warmup_failures: list[str] = []
        self._prompt_tokens: tuple[int, ...] = ()
        self._collector = ResponseCollector((), in_chat=False)

    def weight_files(self) -> tuple[Path, ...]:
        """Return none: the server reads them, wherever it is."""
        return ()

    def load(self) -> ModelFacts:
        """Start the server where it is to be launched, and have it give one token."""
        config, key = self._config, api_key(self._config)
        self.server.start(self._show_wait)
        self._template = request_template(config, self.server.model_name)
        client = Client(self._template, key, self._keys)
        self._client = self._runner.run(client.__aenter__())
        probed = self._settle()
        if probed.failure is not None:
            raise BackendError(
                why_no_token(probed, self._template.model, config.openai.base_url, key) + self.server.log_note()
            )
        if isinstance(config.dataset, SyntheticDataset):
            self._tokenizer = required_tokenizer(self.server.model)
            self._prompt_tokens = prompt_tokens(self._tokenizer)
        shape, shape_unknown = self._shape()
        if config.launch is None:
            self._noted += unlisted_remarks(self._template.model, config.openai.base_url, key)
        facts = server_facts(config.openai.base_url, self._template.model, key)
        facts = facts._replace(revision=facts.revision or self._cached_revision())
        return ModelFacts(
            device="server",
            device_name=config.openai.base_url,
            backend_version=facts.version,
            model_memory_mb=facts.model_memory_mb,
            prompt_tokens=self._prompt_tokens,
            shape=shape,
            shape_unknown=shape_unknown,
            revision=facts.revision,
            not_known=facts.not_known,
        )

    def prepare(self, requests: Sequence[Request]) -> list[str]:
        """Encode the body of each request."""
        self._requests = list(requests)
        self._bodies = [self._template.encode(request) for request in requests]
        self._keeps_texts = self._tokenizer is not None or has_tokenizer(self.server.model)
        return []

    def warmup(self) -> tuple[float, int]:
        """Send a load of its own: as many requests as are in flight at a time or, of an open loop, come per second;
        return the mean duration in seconds of those that did not fail, and the number of all.

        Their prompts are those of the measurement with another beginning, so that no prefix cache knows them later.
        """
        load = self._config.load
        self._warmups += 1
        count = load.in_flight or max(1, round(load.request_rate or 1))
        bodies = [self._template.encode(self._with_another_beginning(request)) for request in self._requests[:count]]
        ended: list[ServedRequest] = []
        self._interruptible(
            drive(self.client, bodies, strategy(load, self._config.random_seed), StopRule(), ended.append)
        )
        whole_s = [each.end_s - each.sent_s for each in ended if each.failure is None]
        failures = [each.failure.message for each in ended if each.failure is not None]
        self._warmup_sent += len(ended)
        self._warmup_failures += failures
        if not whole_s:
            raise BackendError(f"all {len(ended)} requests failed: {failures[0]}{self.server.log_note()}")
        return sum(whole_s) / len(whole_s), len(ended)

    def run(self) -> Generator[Batch | FailedRequest, None, None]:
        """Send the requests as the load wants it; give each that has ended, as a batch of its own or as a failure.

        What is in flight when this is interrupted, or gives up, ends as a failure of kind `cancelled`.
        """
        load, collector = self._config.load, self._new_collector()
        self._collector = collector
        self.client.resent.clear()
        self.client.left_open = 0
        how = strategy(load, self._config.random_seed)
        driving = self._runner.get_loop().create_task(
            drive(self.client, self._bodies, how, stop_rule(load), collector.ended)
        )
        try:
            while not driving.done():
                with uninterrupted():
                    self._runner.run(_wait(driving, SLICE_S))
                yield from collector.records()
                self._check_server()
            driving.result()
        except BaseException as error:
            driving.cancel()
            self._runner.run(_wait(driving))
            if not isinstance(error, GeneratorExit):  # nobody takes any more
                yield from collector.records()
            raise
        if collector.failures.total() == collector.taken:
            raise BackendError(self._all_failed())

    def recounted(self, batches: Sequence[Batch]) -> tuple[Sequence[Batch], str | None]:
        """Return the batches of the last run with the counts of the model's tokenizer in evidence, where that lies on
        this machine, and the reason why it has not looked at all of them."""
        try:
            place = tokenizer_place(self.server.model) if self._tokenizer is None else ""
            self._progress.phase("counting tokens")
            if self._tokenizer is None:
                self._tokenizer = load_tokenizer(place)
            recounted = self._collector.recounted(batches, self._tokenizer)
        except BackendError as error:
            return batches, str(error)
        except Exception as error:  # a tokenizer raises whatever its parts raise
            return batches, f"{type(error).__name__}: {clean(str(error), SHOWN)}"
        left, cut = self._collector.not_kept, self._collector.not_whole
        why = (
            [f"the texts of {left} answers, beyond {MOST_TEXT >> 20} MiB in all, were not kept for it"] if left else []
        )
        why += [f"of {cut} answers it has counted the first {MOST_CHARACTERS:,} characters alone"] if cut else []
        return recounted, "; ".join(why) or None

    def answers(self) -> dict[int, str]:
        """Return the texts that came, without reasoning."""
        return self._collector.answers()

    def remarks(self) -> list[str]:
        """Return a line for each way in which the last run's load was not as asked for."""
        collector, duration_s, notes = self._collector, self._config.load.duration_s, list(self._noted)
        if (client := self._client) is not None:
            notes += [left_out_remark(names, client.refusals[names], count) for names, count in client.resent.items()]
            if client.left_open:
                notes.append(LEFT_OPEN.format(count=client.left_open))
        if failed := self._warmup_failures:
            notes.append(f"{len(failed)} of {self._warmup_sent} requests of the warm-up failed; the last: {failed[-1]}")
        if odd := collector.odd_reasons:
            notes.append(odd_reasons_remark(odd, collector.taken))
        if duration_s is not None and collector.taken >= len(self._bodies):
            notes.append(
                f"All {len(self._bodies)} prompts were sent before duration_s = {duration_s:g} was over, and the load "
                "ended with them: raise num_prompts."
            )
        return notes

    def synchronize(self) -> None:
        """Return at once: an answer that has come is complete."""

    def reset_peak_memory(self) -> None:
        """Collect garbage, which takes its time, before the load; the server's memory is not seen."""
        gc.collect()
        gc.freeze()

    def peak_memory_mb(self) -> float | None:
        """Return None: the server's memory is not seen."""
        return None

    def keep(self) -> None:
        """Leave a server that was launched to the next run."""
        if self._kept is not None:
            self.server.keep(self._kept)

    def close(self) -> None:
        """Close the connections, and stop the server if it was launched and is not kept."""
        client, self._client = self._client, None
        try:
            if client is not None:
                self._runner.run(client.__aexit__(None, None, None))
            self._runner.close()
        finally:
            gc.unfreeze()
            self.server.close()

    @property
    def client(self) -> Client:
        """The client, once the server answers.

        Raises:
            BackendError: it was not loaded, or is closed.
        """
        if self._client is None:
            raise BackendError("the server is not connected")
        return self._client

    def _cached_revision(self) -> str | None:
        """Return the commit of a hub model in the local cache, which a server that is started here loads."""
        return hub_commit(self._config) if self.server.is_launched and not missing("huggingface_hub") else None

    def _shape(self) -> tuple[DecoderShape | None, str | None]:
        """Return the shape by the config.json of the model's folder or of the local hub cache, or why it is unknown."""
        source = self.server.model
        if absent := missing("torch", "transformers"):
            are = "are" if len(absent) > 1 else "is"
            return None, f"the model's shape is counted with {' and '.join(absent)}, which {are} not installed"
        if local_folder(source) is None and hub_commit(self._config) is None:
            return None, f"the server does not tell its model's shape, and {source} is no model's folder and not cached"
        from llenergymeasure.backends.pytorch.decoder_shape import shape_of_config

        return shape_of_config(source)

    def _show_wait(self, waited_s: float) -> None:
        limit_s = self._config.launch.ready_timeout_s if self._config.launch else 0.0
        self._progress.update(int(waited_s), int(limit_s), "seconds; the server does not answer yet")

    def _with_another_beginning(self, request: Request) -> Request:
        """Return the request with another beginning than any of the measurement, so that it shares no prefix."""
        number = self._warmups
        if (ids := request.token_ids) is not None:
            others = (self._prompt_tokens[number % len(self._prompt_tokens)], *self._prompt_tokens)
            other = next(token for token in others if token != ids[0])
            return replace(request, token_ids=(other, *ids[1:]))
        begun = begun_anew(request.messages or request.prompt or "", f"w{number}. ")
        return replace(request, prompt=begun) if isinstance(begun, str) else replace(request, messages=begun)

    def _new_collector(self) -> ResponseCollector:
        return ResponseCollector(
            self._requests,
            in_chat=self._config.openai.endpoint == "chat",
            stop_tokens=most_stop_tokens(self._config.passthrough_kwargs),
            hides_reasoning=hides_reasoning(self._config.passthrough_kwargs),
            keeps_texts=self._keeps_texts,
            keeps_answers=self._config.task is not None,
        )

    def _settle(self) -> ServedRequest:
        """Probe the server, and leave out of all requests those of the optional fields that it refuses.

        A failure that names none of them is a field's only if it comes twice: a server that has just started refuses
        for reasons that pass. Where it fails without them as well, the answer is its first one: the reason is another.
        """
        first = served = self._probe()
        came_before = False
        while (failure := served.failure) is not None and may_be_of_a_field(failure):
            if not (optional := self._template.optional):
                return first
            names = named_fields(failure, optional)
            if names or came_before:
                names = names or tuple(optional)
                self._noted.append(left_out_remark(names, failure))
                self._template = self._template.without(names)
            came_before = not names
            served = self._probe()
        return served

    def _probe(self) -> ServedRequest:
        """Send one request for one token; again where the failure mostly passes, and to a server that was launched and
        answers that it still loads until its start times out."""
        launch, template = self._config.launch, self._template
        loading_s = launch.ready_timeout_s if launch else 0.0
        if launch is not None:
            most_s = max(template.timeout_s, loading_s)
            template = replace(template, timeout_s=most_s, stall_s=most_s)
        body = replace(template.encode(Request(0, "Hello", None, 1)), optional=())  # what is refused is left out here
        until_s = time.monotonic() + loading_s
        for number in itertools.count(1):
            served: ServedRequest = self._interruptible(self._send_once(template, body))
            self._check_server()
            status = served.failure.status if served.failure is not None else None
            still_loading = status == STILL_LOADING and time.monotonic() <= until_s
            if not still_loading and (status not in PASSING or number >= PROBES):
                break
            time.sleep(PROBE_EVERY_S)
        return served

    async def _send_once(self, template: RequestTemplate, body: RequestBody) -> ServedRequest:
        async with Client(template, api_key(self._config), self._keys) as client:
            return await client.send(body, time.monotonic())

    def _interruptible(self, coroutine: Any) -> Any:
        """Return the coroutine's result; Ctrl-C and SIGTERM end it within a slice."""
        task = self._runner.get_loop().create_task(coroutine)
        try:
            while not task.done():
                with uninterrupted():
                    self._runner.run(_wait(task, SLICE_S))
            return task.result()
        except BaseException:
            task.cancel()
            self._runner.run(_wait(task))
            raise

    def _check_server(self) -> None:
        """Raise BackendError if the server has ended, or many requests in a row found none."""
        if problem := self.server.problem():
            raise BackendError(problem)
        if self._collector.refused_in_a_row >= GONE_AFTER:
            raise BackendError(
                f"{self._config.openai.base_url} has gone: {self._collector.refused_in_a_row} requests in a row found "
                f"no server ({self._collector.last_failure}){self.server.log_note()}"
            )

    def _all_failed(self) -> str:
        if not self._collector.taken:
            return f"no request was due within duration_s = {self._config.load.duration_s:g}: measure for longer"
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._collector.failures.most_common())
        return (
            f"all {self._collector.taken} requests failed ({kinds}); the last: {self._collector.last_failure}"
            f"{self.server.log_note()}"
        )


async def _wait(task: "asyncio.Task[Any]", timeout_s: float | None = None) -> None:
    await asyncio.wait({task}, timeout=timeout_s)
