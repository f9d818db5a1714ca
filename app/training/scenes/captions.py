"""Words for scenes: several phrasings, synonyms, and attributes left out at random."""

from __future__ import annotations

import random
from dataclasses import dataclass

from app.training.scenes.scene import Scene, Shape
from app.training.scenes.vocabulary import (
    BACKGROUND_NAMES,
    BACKGROUND_WORDS,
    COLOUR_NAMES,
    COLOUR_WORDS,
    COUNTS,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
)


@dataclass(frozen=True, slots=True)
class Wording:
    """How freely a caption is worded: the chance of each attribute to be said, and of the less usual word."""

    colour: float = 0.94
    size: float = 0.75
    position: float = 0.85
    background: float = 0.88
    synonym: float = 0.2
    terse: float = 0.15


FULL = Wording(1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
FREE = Wording()


def caption(scene: Scene, rng: random.Random, wording: Wording = FREE) -> str:
    """A caption of the scene in English, lower case."""
    if wording.terse and rng.random() < wording.terse:
        return _terse(scene, rng, wording)
    if scene.kind == "single":
        subject = _noun_phrase(scene.objects[0], rng, wording)
        if rng.random() < wording.position:
            subject += " " + _at(scene.cell, rng, wording)
    elif scene.kind == "count":
        subject = _counted(scene, rng, wording)
    else:
        subject = _related(scene, rng, wording)
    if rng.random() < wording.background:
        subject += " " + _on(scene.background, rng, wording)
    return subject


def _word(words: tuple[str, ...], rng: random.Random, wording: Wording) -> str:
    usual, *synonyms = words
    return rng.choice(synonyms) if synonyms and rng.random() < wording.synonym else usual


def _colour(index: int, rng: random.Random, wording: Wording) -> str:
    name = COLOUR_NAMES[index]
    return _word(COLOUR_WORDS.get(name, (name,)), rng, wording)


def _attributes(thing: Shape, rng: random.Random, wording: Wording) -> list[str]:
    words: list[str] = []
    if rng.random() < wording.size:
        words.append(_word(SIZES[thing.size].words, rng, wording))
    if rng.random() < wording.colour:
        words.append(_colour(thing.colour, rng, wording))
    return words


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _noun_phrase(thing: Shape, rng: random.Random, wording: Wording) -> str:
    words = [*_attributes(thing, rng, wording), _word(SHAPES[thing.shape].words, rng, wording)]
    return _article(" ".join(words))


def _at(cell: int, rng: random.Random, wording: Wording) -> str:
    place = _word(POSITIONS[cell].words, rng, wording)
    if wording.synonym and rng.random() < wording.synonym:
        return f"at the {place}"
    return f"on the {place}" if cell in (3, 5) else f"in the {place}"


def _on(background: int, rng: random.Random, wording: Wording) -> str:
    name = BACKGROUND_NAMES[background]
    name = _word(BACKGROUND_WORDS.get(name, (name,)), rng, wording)
    starts = ("on a", "with a", "against a")
    return f"{_word(starts, rng, wording)} {name} background"


def _counted(scene: Scene, rng: random.Random, wording: Wording) -> str:
    thing = scene.objects[0]
    words = [COUNTS[len(scene.objects) - 1], *_attributes(thing, rng, wording), SHAPES[thing.shape].plural]
    return " ".join(words)


def _related(scene: Scene, rng: random.Random, wording: Wording) -> str:
    first, second = (_noun_phrase(thing, rng, wording) for thing in scene.objects)
    if rng.random() < wording.position:
        return f"{first} {_word(RELATIONS[scene.relation].words, rng, wording)} {second}"
    return f"{first} and {second}" if rng.random() < 0.5 else f"{second} and {first}"


def _terse(scene: Scene, rng: random.Random, wording: Wording) -> str:
    """Comma-separated fragments, as many people write prompts."""
    if scene.kind == "count":
        parts = [_counted(scene, rng, wording)]
    elif scene.kind == "pair":
        parts = [_related(scene, rng, wording)]
    else:
        parts = [_noun_phrase(scene.objects[0], rng, wording).split(" ", 1)[1]]
        if rng.random() < wording.position:
            parts.append(_word(POSITIONS[scene.cell].words, rng, wording))
    if rng.random() < wording.background:
        parts.append(BACKGROUND_NAMES[scene.background] + " background")
    return ", ".join(parts)


def all_words() -> list[str]:
    """Every word that a caption may hold, sorted."""
    words = {"a", "an", "and", "at", "on", "in", "to", "the", "with", "against", "side", "of", "background"}
    words.update(COUNTS, COLOUR_NAMES, BACKGROUND_NAMES)
    for group in (SHAPES, SIZES, POSITIONS, RELATIONS):
        for named in group:
            words.update(" ".join((*named.words, named.plural)).split())
    for table in (COLOUR_WORDS, BACKGROUND_WORDS):
        for synonyms in table.values():
            words.update(" ".join(synonyms).split())
    return sorted(words)
