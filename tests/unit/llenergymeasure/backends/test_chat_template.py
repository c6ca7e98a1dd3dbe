"""Chat templates, which come with a model as programs, are rendered within limits, or refused with the reason."""

import os
import signal
import threading
import time

import psutil
import pytest

from labledger.ending import Terminated
from llenergymeasure.backends import chat_template, limited_process
from llenergymeasure.backends.chat_template import ChatTemplate, TemplateError
from llenergymeasure.backends.pytorch.random_llama import build_tokenizer
from llenergymeasure.domain.requests import Message
from llenergymeasure.workload.prompts import builtin_text
from warm import without_interpreter

TURNS = (Message("system", "Be brief. \U0001f600"), Message("user", "Hello </s> there"))
LOOPS = "".join(f"{{% for {name} in range(99999) %}}" for name in "abc") + "x" + "{% endfor %}" * 3


@pytest.fixture(scope="module")
def own():
    return build_tokenizer(builtin_text(), 512)


@pytest.fixture
def tokenizer(own, monkeypatch):
    def with_template(text):
        monkeypatch.setattr(own, "chat_template", text)
        return own

    return with_template


def children():
    """The processes that are ours and end with us."""
    return without_interpreter(psutil.Process().children())


def test_a_conversation_has_the_tokens_that_the_tokenizer_itself_gives_it(own):
    turns = [{"role": each.role, "content": each.content} for each in TURNS]
    with ChatTemplate(own) as template:
        for given in (turns, turns[1:], turns):
            expected = own.apply_chat_template(given, add_generation_prompt=True, return_dict=False)
            assert template.token_ids([Message(**each) for each in given]) == expected
        assert len(children()) == 1
    assert children() == []


def test_a_refusal_is_the_templates_own_words_and_the_next_conversation_is_rendered(tokenizer):
    text = "{% if messages|length > 1 %}{{ raise_exception('Roles\\x1b[2J must:\\n  alternate') }}{% endif %}hello"
    with ChatTemplate(tokenizer(text)) as template:
        with pytest.raises(TemplateError, match=r"^Roles�\[2J must: alternate$"):
            template.token_ids(TURNS)
        assert template.token_ids(TURNS[1:]) == tokenizer(text)("hello", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ 'hello ' * 16000000 }}", "takes more than 256 MiB of memory"),
        ("{{ 'hello ' * 1000000 }}", "makes 6,000,000 characters of a conversation, for which at most 1,000,"),
        ("{{ 'a' | center(10**10) }}", "takes more than 256 MiB of memory"),
        ("{{ ('%9999999999d' | format(3)) | length }}", "takes more than 256 MiB of memory"),
        ("{{ '\\ud800' }}", "surrogates not allowed"),
        ("{{ range(10**9) | sum }}", "Range too big"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "maximum recursion depth exceeded"),
        ("{% if \x1b[31m %}", "unexpected char"),
    ],
    ids=["very long", "long", "filter", "format", "half a pair", "range", "macro", "syntax"],
)
def test_what_no_model_could_be_given_is_refused_with_the_reason(tokenizer, text, problem):
    with ChatTemplate(tokenizer(text)) as template, pytest.raises(TemplateError, match=problem) as raised:
        template.token_ids(TURNS)
    assert str(raised.value).isprintable()
    assert children() == []


@pytest.mark.parametrize("text", [LOOPS, "{{ 10 ** (10 ** 8) % 7 }}"], ids=["a loop", "one step"])
def test_a_template_without_end_is_ended_and_not_waited_for_again(tokenizer, monkeypatch, text):
    monkeypatch.setattr(chat_template, "TIME_S", 0.2)
    with ChatTemplate(tokenizer(text)) as template:
        for _ in range(2):
            with pytest.raises(TemplateError, match=r"is not done after 0\.2 s"):
                template.token_ids(TURNS)
            assert children() == []
            monkeypatch.setattr(chat_template, "TIME_S", 600.0)


def test_a_signal_is_heard_while_a_template_runs(tokenizer):
    def stop(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    main = threading.main_thread().ident

    def send():
        while not children():
            time.sleep(0.001)
        signal.pthread_kill(main, signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with ChatTemplate(tokenizer(LOOPS)) as template, pytest.raises(Terminated):
            template.token_ids(TURNS)
    finally:
        sender.join()
        signal.signal(signal.SIGTERM, before)
    assert children() == []


def test_the_system_ends_a_template_whose_parent_is_gone(tokenizer, monkeypatch):
    monkeypatch.setattr(limited_process, "_limit_processor_time", lambda _: os.kill(os.getpid(), signal.SIGXCPU))
    with ChatTemplate(tokenizer("x")) as template, pytest.raises(TemplateError, match="more than 10 s of processor"):
        template.token_ids(TURNS)


def test_all_conversations_together_have_a_limit_of_time(tokenizer, monkeypatch):
    monkeypatch.setattr(chat_template, "ALL_S", 0.0)
    monkeypatch.setattr(chat_template, "EACH_S", 0.0)
    with ChatTemplate(tokenizer("x")) as template:
        for _ in range(2):
            with pytest.raises(TemplateError, match="s for 1 conversations, and 0 s and 0 s for each are the most"):
                template.token_ids(TURNS)
    assert children() == []
