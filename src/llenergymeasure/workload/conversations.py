"""A line of a dataset: a plain prompt, or a conversation up to the last turn of its user."""

from typing import Any, Final

from llenergymeasure.domain.requests import Message, Prompt, Role

ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
TURN_KEYS: Final = {"conversations": ("from", "value"), "messages": ("role", "content")}
"""Keys of a conversation, of a turn's role and of its text, as ShareGPT and as OpenAI write them."""


def parse_prompt(value: Any) -> Prompt:
    """Return the prompt that a line's JSON holds: a text, or an object with `prompt`, `conversations` or `messages`.

    Of a conversation everything up to the last turn of its user: an answer after that is the dataset's, not the
    model's. Other keys are left alone.

    Raises:
        ValueError: it holds none of these, or more than one, or a turn that is none.
    """
    if not isinstance(value, dict):
        return _text(value)
    forms = [key for key in ("prompt", *TURN_KEYS) if key in value]
    if len(forms) > 1:
        raise ValueError(f"has {' and '.join(forms)}; keep the one that is meant")
    if not forms or forms == ["prompt"]:
        return _text(value.get("prompt"))
    return _conversation(forms[0], value[forms[0]])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('expected {"prompt": "some text"}, {"conversations": [...]} or {"messages": [...]}')
    return value


def _conversation(form: str, turns: Any) -> tuple[Message, ...]:
    if not isinstance(turns, list):
        raise ValueError(f"{form}: expected a list of turns")
    messages = [_message(form, number, turn) for number, turn in enumerate(turns, start=1)]
    asked = max((place for place, each in enumerate(messages, start=1) if each.role == "user"), default=0)
    if not asked:
        raise ValueError(f"{form}: no turn of the user, so nothing is asked")
    if not messages[asked - 1].content.strip():
        raise ValueError(f"{form}: turn {asked}, the user's last, has no text")
    return tuple(messages[:asked])


def _message(form: str, number: int, turn: Any) -> Message:
    role_key, text_key = TURN_KEYS[form]
    role, text = (turn.get(role_key), turn.get(text_key)) if isinstance(turn, dict) else (None, None)
    if not isinstance(role, str) or not isinstance(text, str):
        raise ValueError(f'{form}: turn {number}: expected {{"{role_key}": "user", "{text_key}": "some text"}}')
    if role not in ROLES:
        raise ValueError(f"{form}: turn {number}: {role_key} {role!r} is not known (known: {', '.join(ROLES)})")
    return Message(ROLES[role], text)
