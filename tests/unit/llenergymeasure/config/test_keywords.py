"""The keywords that a type checker knows are the fields of the configuration."""

import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest

from llenergymeasure.config import keywords
from llenergymeasure.config.models import ExperimentConfig
from llenergymeasure.config.section import Section

SHORTHANDS = {"ExperimentFields.launch": {list[str], str}, "LoadSearchFields.tolerance": {str}}


def sections(model, found):
    if model not in found:
        found.append(model)
        for field in model.model_fields.values():
            for part in parts(field.annotation):
                if is_section(part):
                    sections(part, found)
    return found


def parts(annotation: Any) -> set:
    """The types of a union, without what pydantic adds to them."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return parts(inner[0])
    if origin in (Union, types.UnionType):
        return set().union(*map(parts, inner))
    if origin in (list, dict, tuple):
        return {origin[tuple(next(iter(parts(each))) for each in inner)]}
    return {annotation}


def as_keywords(annotation):
    return {keywords_of(part) if is_section(part) else part for part in parts(annotation)}


def is_section(part):
    return isinstance(part, type) and issubclass(part, Section)


def keywords_of(model):
    return getattr(keywords, model.__name__.removesuffix("Config") + "Fields")


@pytest.mark.parametrize(
    "model", sorted(sections(ExperimentConfig, []), key=lambda model: model.__name__), ids=lambda model: model.__name__
)
def test_the_keywords_of_a_section_are_its_fields_with_their_types(model):
    typed = keywords_of(model)
    hints = get_type_hints(typed)
    assert list(hints) == list(model.model_fields)
    for name, field in model.model_fields.items():
        shorthands = SHORTHANDS.get(f"{typed.__name__}.{name}", set())
        assert parts(hints[name]) - shorthands == as_keywords(field.annotation), name
