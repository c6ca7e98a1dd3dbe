"""Problems of a file that others hide: a model's checks of several values are made where each value is right."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labledger.yaml_files import Location, field_at, has, located_problems, meant_key

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_LOOKS = 12


def further_problems(
    model: "type[BaseModel]", data: Any, found: list[tuple[Location, str]], stand_ins: Mapping[Location, Any]
) -> list[tuple[Location, str]]:
    """Return the problems of `data` that show once what is wrong by the problems `found` is taken out of it.

    A section of `stand_ins` in which anything is wrong is taken out as a whole, and its stand-in put in its place: one
    with which no check of another section fails. A problem that names a key that was taken out of its own section is
    left out: it may follow from that. An item of a list that lacks what it needs is taken out, so that no other is
    compared with it; for its own further problems it is looked at with the example of that in its place.
    """
    without = _Rest(model, data, stand_ins)
    kept = _Rest(model, data, stand_ins, keeps_items=True)
    of_kept = [each for each in _looked(kept, found) if kept.is_in_kept_item(each[0])]
    return [*_looked(without, found), *of_kept]


def _looked(rest: "_Rest", found: list[tuple[Location, str]]) -> list[tuple[Location, str]]:
    """Return what shows of `rest` as `further_problems` does, once what is wrong is taken out of it."""
    from pydantic import ValidationError

    further, looked_at = list[tuple[Location, str]](), found
    for _ in range(MAX_LOOKS):
        if not rest.without([location for location, _ in looked_at]):
            break
        try:
            rest.model.model_validate(rest.data)
            break
        except ValidationError as error:
            looked_at = located_problems(error, rest.model, rest.data)
            placed = [(rest.source(location), text) for location, text in looked_at]
            further += [each for each in placed if not _follows(*each, rest.gone)]
    return further


def _follows(location: Location, text: str, gone: set[Location]) -> bool:
    """True of a problem at what was taken out, at what holds it, or with its name, beside it."""
    beside = {str(each[-1]) for each in gone if each and each[:-1] == location[:-1]}
    return location in gone or any(each[:-1] == location for each in gone) or any(name in text for name in beside)


class _Rest:
    """Data without some of its values; `data` is what is left, `gone` the locations in the whole of what is not.

    An item of a list that lacks what it needs goes too; with `keeps_items` it has the example of that, if there is one.
    """

    def __init__(
        self, model: "type[BaseModel]", data: Any, stand_ins: Mapping[Location, Any], *, keeps_items: bool = False
    ) -> None:
        self.data = _unshared(data)
        self.gone: set[Location] = set()
        self.model = model
        self._keeps_items = keeps_items
        self._kept: set[Location] = set()
        self._stand_ins = stand_ins
        self._stood_in: set[Location] = set()
        self._places: dict[Location, list[int]] = {}

    def without(self, locations: list[Location]) -> bool:
        """Take out the values at these locations of the present data; False where nothing can be taken out."""
        self.gone |= {self.source(location) for location in locations}
        taken = {found for location in locations if (found := self._taken(location))}
        for location in sorted(taken, key=_from_the_end):
            self._take(location)
        return bool(taken)

    def source(self, location: Location) -> Location:
        """Return the location in the whole data of a location in what is left."""
        found: list[str | int] = []
        for end, part in enumerate(location):
            places = self._places.get(tuple(found))
            found.append(places[part] if places and isinstance(part, int) and end and part < len(places) else part)
        return tuple(found)

    def is_in_kept_item(self, location: Location) -> bool:
        """Return True of a place, in the whole data, within an item of a list that has an example in it."""
        return any(location[: len(item)] == item for item in self._kept)

    def _taken(self, location: Location) -> Location:
        """Return the location of what goes: a section with a stand-in, an item of a list that lacks what it needs, or
        the value; empty where nothing is there.
        """
        for section in self._stand_ins:
            if location[: len(section)] == section:
                return () if section in self._stood_in else section
        while location and not has(_at(self.data, location[:-1]), location[-1]) and self._example(location) is None:
            location = location[:-1]
        is_of_item = len(location) > 1 and isinstance(location[-2], int)
        if not is_of_item or not self._is_required(location):
            return location
        if not self._keeps_items or self._example(location) is None:
            return location[:-1]
        self._kept.add(self.source(location[:-1]))
        return location

    def _take(self, location: Location) -> None:
        self.gone |= {self.source(each) for each in (location, *self._meant(location))}
        owner, last = _at(self.data, location[:-1]), location[-1]
        if location in self._stand_ins:
            self._stood_in.add(location)
            self._put(location, self._stand_ins[location])
        elif isinstance(owner, list):
            places = self._places.setdefault(self.source(location[:-1]), [*range(len(owner))])
            del owner[int(last)], places[int(last)]
        elif (example := self._example(location)) is not None:
            self._put(location, example)
        else:
            owner.pop(last, None)

    def _meant(self, location: Location) -> list[Location]:
        """Return the location that an unknown key was to have, whose value is gone with it."""
        if not isinstance(location[-1], str) or field_at(self.model, location, self.data) is not None:
            return []
        meant = meant_key(self.model, location, self.data)
        return [] if meant is None or has(_at(self.data, location[:-1]), meant) else [(*location[:-1], meant)]

    def _put(self, location: Location, value: Any) -> None:
        """Put a value in the place of another, whose items' places are no longer known."""
        source = self.source(location)
        self._places = {key: places for key, places in self._places.items() if key[: len(source)] != source}
        _at(self.data, location[:-1])[location[-1]] = _unshared(value)

    def _is_required(self, location: Location) -> bool:
        field = field_at(self.model, location, self.data)
        return field is not None and field.is_required()

    def _example(self, location: Location) -> Any:
        """Return the example of a value that must be there; None where it has none, or was put in before."""
        field = field_at(self.model, location, self.data)
        examples = field.examples if field is not None and field.is_required() else None
        example = examples[0] if examples else None
        return None if _at(self.data, location) == example else example


def _from_the_end(location: Location) -> tuple[Any, ...]:
    """A key that sorts inner locations before outer ones, and later ones of a list before earlier ones."""
    return (-len(location), [-part if isinstance(part, int) else 0 for part in location])


def _unshared(data: Any) -> Any:
    """Return a copy of which no part stands in two places, as an alias of YAML may."""
    if isinstance(data, Mapping):
        return {key: _unshared(value) for key, value in data.items()}
    return [_unshared(each) for each in data] if isinstance(data, list) else data


def _at(data: Any, location: Location) -> Any:
    for part in location:
        if not has(data, part):
            return None
        data = data[part]
    return data
