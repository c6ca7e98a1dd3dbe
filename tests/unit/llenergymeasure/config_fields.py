"""Every value that a configuration may hold."""

from typing import get_args

from pydantic import BaseModel

from labledger.yaml_files import models_in

OF_A_SERVER = ("openai.", "launch.", "load.")


def fields(model: type[BaseModel], prefix=""):
    """The path of every value that a YAML may hold; a section counts as its own fields, one of several by its tag."""
    for name, field in model.model_fields.items():
        sections = models_in(field.annotation)
        if len(sections) != 1 or name == "dataset":
            yield prefix + name
        for section in sections:
            tag = "" if len(sections) == 1 else get_args(section.model_fields["distribution"].annotation)[0] + "."
            yield from fields(section, f"{prefix}{name}.{tag}")
