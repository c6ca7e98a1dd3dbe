"""Every text that a model may send, in whatever field of OpenAI's protocol: all of it is output.

Names beyond OpenAI's own: `reasoning_content` (DeepSeek, SGLang, llama.cpp), `reasoning` (vLLM, OpenRouter), both with
the same text from some; `reasoning_details` (OpenRouter), the same once more, in parts; content in parts (Mistral), of
which `thinking` has parts of its own.
"""

import json
from typing import Any

from llenergymeasure.backends.openai.client.records import TextKind

PART_TEXTS = ("text", "thinking", "content", "summary", "refusal")
"""Fields in which a part has its text, be it a part of its own; what is encrypted (`data`) is none."""

REASONING = ("reasoning_content", "reasoning", "reasoning_details")
TEXTS = ("content", "text", *REASONING)
OTHERS = (*REASONING, "refusal", "tool_calls", "function_call")


def read_texts(said: dict[str, Any], kinds: set[TextKind]) -> str:
    """Return the text of a delta, a message or a completion's choice, and add its kinds to `kinds`.

    Raises:
        ValueError: the content is neither text nor parts.
    """
    content = said.get("content")
    if content and type(content) is str and (len(said) == 1 or not any(map(said.get, OTHERS))):  # nearly every one
        kinds.add("content")
        return content
    texts = _reasoning(said)
    if texts:
        kinds.add("reasoning")
    for part in _parts(content or said.get("text")):
        if text := _plain(part):
            kinds.add(_kind(part))
            texts += text
    if refusal := _plain(said.get("refusal")):
        kinds.add("refusal")
        texts += refusal
    if called := _calls(said):
        kinds.add("tool_calls")
        texts += called
    return texts


def shown_text(said: dict[str, Any]) -> str:
    """Return the part of that text which is the answer itself: no reasoning, refusal or call.

    Raises:
        ValueError: the content is neither text nor parts.
    """
    parts = _parts(said.get("content") or said.get("text"))
    return "".join(_plain(part) for part in parts if _kind(part) == "content")


def has_empty_text(said: dict[str, Any]) -> bool:
    """Return True if a delta, a message or a completion's choice has a text, and it is empty."""
    return any(said.get(name) == "" for name in TEXTS)


def _reasoning(said: dict[str, Any]) -> str:
    """Return the reasoning of a delta; it is one text, though some servers send it in two or three fields."""
    for name in REASONING:
        if (value := said.get(name)) and (text := _plain(value)):
            return text
    return ""


def _parts(content: Any) -> list[Any]:
    if not content:
        return []
    if not isinstance(content, str | list):
        raise ValueError("the content is neither text nor parts")
    return [content] if isinstance(content, str) else content


def _kind(part: Any) -> TextKind:
    kind = str(part.get("type")) if isinstance(part, dict) else "text"
    if kind.startswith(("thinking", "reasoning")):
        return "reasoning"
    return "refusal" if kind == "refusal" else "content"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_plain, value))
    if isinstance(value, dict):
        return next((text for name in PART_TEXTS if (text := _plain(value.get(name)))), "")
    return ""


def _calls(said: dict[str, Any]) -> str:
    """Return the names and arguments of functions that are called; ids are the server's own."""
    listed = said.get("tool_calls")
    calls = [call for call in listed if isinstance(call, dict)] if isinstance(listed, list) else []
    called = [call.get("function") or call.get("custom") for call in calls] + [said.get("function_call")]
    return "".join(
        _argument(function.get(name))
        for function in called
        if isinstance(function, dict)
        for name in ("name", "arguments", "input")
    )


def _argument(value: Any) -> str:
    if isinstance(value, dict | list):  # some send the arguments themselves, not their JSON
        return json.dumps(value)
    return value if isinstance(value, str) else ""
