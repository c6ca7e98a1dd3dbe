"""A proof for each field of the section `quality`: it reaches what it configures."""

import json

from measurements import measurement
from tiny import tiny_config

from llenergymeasure.domain.quality import Judged
from llenergymeasure.energy.sources import find_sources
from llenergymeasure.metrics.summary import raw_result
from llenergymeasure.run import preflight
from llenergymeasure.workload.prompts import build_requests, load_prompts


def task_of(tmp_path, *lines):
    """Write a task of these lines, and return its path."""
    path = tmp_path / "task.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def proves_task(monkeypatch, tmp_path, folder):
    task = task_of(tmp_path, {"prompt": "What is asked?", "answer": "This."})
    config = tiny_config(quality={"task": task}, num_prompts=1)
    (request,) = build_requests(config, load_prompts(config).prompts, ())
    assert request.prompt == "What is asked?"


def proves_match(monkeypatch, tmp_path, folder):
    task = task_of(tmp_path, {"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": "2", "match": "exact"})
    config = tiny_config(quality={"task": task, "match": "number"}, num_prompts=2)
    assert [each.match for each in load_prompts(config).questions] == ["number", "exact"]


def proves_keep_answers(monkeypatch, tmp_path, folder):
    judged = Judged("rw", "digest", ("yes", "no"))
    for keeps in (False, True):
        config = tiny_config(quality={"task": "t.jsonl", "keep_answers": keeps})
        scored = raw_result(measurement(config=config, judged=judged)).scored_answers
        assert scored.answers == (["yes", "no"] if keeps else None)


def proves_lm_eval(monkeypatch, tmp_path, folder):
    path = tmp_path / "given.json"
    path.write_text(json.dumps({"results": {"sums": {"acc,none": 0.25}}}))
    (found,) = preflight.check(tiny_config(quality={"lm_eval": str(path)}), find_sources(), None).lm_eval
    assert (found.task, found.metric, found.value, found.stderr) == ("sums", "acc", 0.25, None)


PROOFS = {
    "quality.task": proves_task,
    "quality.match": proves_match,
    "quality.keep_answers": proves_keep_answers,
    "quality.lm_eval": proves_lm_eval,
}
