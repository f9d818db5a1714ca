"""The judge is right about real scenes, and not fooled by empty or noisy ones."""

from __future__ import annotations

import torch

from app.training.scenes.drawing import draw
from app.training.scenes.judge import exam, score
from app.training.scenes.reader import Sighting, components, read, relation_holds


def test_it_reads_real_scenes_perfectly() -> None:
    asked = exam(160, seed=5)
    scores = score([scene for scene, _ in asked], draw([scene for scene, _ in asked]))
    assert all(value == 1.0 for value in scores.as_dict().values()), scores


def test_other_scenes_score_like_chance() -> None:
    scenes = [scene for scene, _ in exam(200, seed=5)]
    other = scenes[:100][::-1] + scenes[100:][::-1]
    scores = score(scenes, draw(other))
    assert scores.everything < 0.05
    assert scores.shape < 0.4
    assert scores.position < 0.3


def test_light_noise_does_not_matter() -> None:
    asked = [scene for scene, _ in exam(40, seed=6)]
    images = draw(asked)
    noisy = images + 0.03 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    scores = score(asked, noisy)
    assert scores.background == scores.colour == scores.position == 1.0
    assert scores.shape > 0.9


def test_an_empty_canvas_has_no_objects() -> None:
    reading = read(torch.zeros(3, 64, 64))
    assert reading.objects == ()


def test_components_join_diagonal_neighbours() -> None:
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = True
    assert sorted(int(part.sum()) for part in components(mask.numpy())) == [1, 2]


def test_relations() -> None:
    left, right = Sighting(0, 0, 0, 0.2, 0.5, 0.1, 1.0), Sighting(0, 0, 0, 0.8, 0.4, 0.1, 1.0)
    assert relation_holds(0, left, right)
    assert relation_holds(1, right, left)
    assert not relation_holds(2, left, right)
    assert not relation_holds(0, right, left)


def test_the_exam_is_the_same_every_time() -> None:
    assert exam(30) == exam(30)
    assert len({prompt for _, prompt in exam(256)}) > 200
