"""A portrait that moves: what a face tracker reads from it, and that nothing tears."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from likeness.mesh import PortraitMesh, Pose
from liveness.capture import RgbImage
from liveness.evidence import Box, Face
from liveness.faces_mediapipe import MediapipeFaces
from liveness.template import similarity
from liveness.weights import card, open_weights

YAW_MARGIN_DEG = 5.0


@pytest.fixture(scope="module")
def faces(weights: Path) -> MediapipeFaces:
    marks = card("face_landmarker")
    return MediapipeFaces(open_weights(marks, weights) / marks.only_file.path)


@pytest.fixture(scope="module")
def portrait(faces: MediapipeFaces) -> PortraitMesh:
    """The public-domain portrait around the head, twice its size: a face of 180 px."""
    import cv2
    from skimage.data import astronaut

    picture = np.ascontiguousarray(
        cv2.resize(astronaut()[:300, 80:370], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    )
    return PortraitMesh(picture, _only_face(faces, picture))


def _only_face(faces: MediapipeFaces, picture: RgbImage) -> Face:
    found = faces.find(picture)
    assert len(found) == 1
    return found[0]


def test_what_is_no_portrait_is_refused() -> None:
    face = Face(
        box=Box(x=0, y=0, width=10, height=10),
        landmarks=np.zeros((68, 3), np.float32),
        yaw_deg=0,
        pitch_deg=0,
        roll_deg=0,
        jaw_open=0,
        lip_gap=0,
        blink_left=0,
        blink_right=0,
        points=np.zeros((5, 2), np.float32),
    )
    with pytest.raises(ValueError, match="478"):
        PortraitMesh(np.zeros((64, 64, 3), np.uint8), face)
    with pytest.raises(ValueError, match="uint8"):
        PortraitMesh(np.zeros((64, 64, 3), np.float32), face)


@pytest.mark.weights
def test_a_pose_of_nothing_is_the_portrait_itself(portrait: PortraitMesh) -> None:
    assert np.array_equal(portrait.render(Pose()), portrait.image)
    almost = portrait.render(Pose(yaw_deg=0.01)).astype(int)
    assert np.abs(almost - portrait.image).mean() < 1.0


@pytest.mark.weights
@pytest.mark.parametrize("asked_deg", [-30, -20, -12, 12, 20, 30])
def test_the_tracker_reads_the_turn_that_was_asked(
    portrait: PortraitMesh, faces: MediapipeFaces, asked_deg: int
) -> None:
    rest = _only_face(faces, portrait.image)
    turned = _only_face(faces, portrait.render(Pose(yaw_deg=asked_deg)))
    assert turned.yaw_deg - rest.yaw_deg == pytest.approx(asked_deg, abs=YAW_MARGIN_DEG)
    assert abs(turned.pitch_deg - rest.pitch_deg) < YAW_MARGIN_DEG


@pytest.mark.weights
def test_nod_and_tilt_go_the_way_that_faces_are_measured(portrait: PortraitMesh, faces: MediapipeFaces) -> None:
    rest = _only_face(faces, portrait.image)
    down = _only_face(faces, portrait.render(Pose(pitch_deg=12)))
    tilted = _only_face(faces, portrait.render(Pose(roll_deg=10)))
    assert down.pitch_deg - rest.pitch_deg == pytest.approx(12, abs=YAW_MARGIN_DEG)
    assert tilted.roll_deg - rest.roll_deg == pytest.approx(10, abs=3)


@pytest.mark.weights
def test_the_jaw_opens_step_by_step(portrait: PortraitMesh, faces: MediapipeFaces) -> None:
    seen = [_only_face(faces, portrait.render(Pose(jaw_open=amount))) for amount in (0.0, 0.3, 0.6, 1.0)]
    assert seen[0].jaw_open < 0.05
    assert seen[-1].jaw_open >= 0.25
    assert all(more.lip_gap > less.lip_gap + 0.05 for less, more in pairwise(seen))


@pytest.mark.weights
def test_an_open_smile_can_close(portrait: PortraitMesh, faces: MediapipeFaces) -> None:
    smiling = _only_face(faces, portrait.image)
    closed = _only_face(faces, portrait.render(Pose(lips_closed=1)))
    assert smiling.lip_gap > 0.1
    assert closed.lip_gap < 0.4 * smiling.lip_gap


@pytest.mark.weights
def test_eyes_shut(portrait: PortraitMesh, faces: MediapipeFaces) -> None:
    open_, shut = (_only_face(faces, portrait.render(Pose(blink=amount))) for amount in (0.0, 1.0))
    assert max(open_.blink_left, open_.blink_right) < 0.15
    assert min(shut.blink_left, shut.blink_right) > 0.35


@pytest.mark.weights
@pytest.mark.parametrize("pose", [Pose(yaw_deg=30), Pose(yaw_deg=-30, jaw_open=0.4), Pose(yaw_deg=12, pitch_deg=8)])
def test_it_stays_the_same_person(portrait: PortraitMesh, faces: MediapipeFaces, weights: Path, pose: Pose) -> None:
    from liveness.embed_insightface import ArcFaceEmbedder

    model = card("face_embedder")
    embedder = ArcFaceEmbedder(open_weights(model, weights) / model.only_file.path, model.sha256)
    moved = portrait.render(pose)
    one = embedder.embed(portrait.image, _only_face(faces, portrait.image).points)
    other = embedder.embed(moved, _only_face(faces, moved).points)
    assert similarity(one, other) > 0.6


@pytest.mark.weights
@pytest.mark.parametrize(
    "pose", [Pose(yaw_deg=30), Pose(yaw_deg=-30), Pose(roll_deg=8, shift_x=0.05), Pose(jaw_open=1)]
)
def test_the_picture_stays_still_at_its_edge(portrait: PortraitMesh, pose: Pose) -> None:
    moved = portrait.render(pose).astype(int)
    for edge in (np.s_[0], np.s_[:, 0], np.s_[:, -1]):
        assert np.abs(moved[edge] - portrait.image[edge].astype(int)).mean() < 3.0


@pytest.mark.weights
@pytest.mark.parametrize("yaw_deg", [-12, 12])
def test_nothing_tears_at_the_angles_of_clips(portrait: PortraitMesh, faces: MediapipeFaces, yaw_deg: int) -> None:
    """A picture of its own coordinates, warped, stays smooth: a hole or a torn seam would be a jump."""
    height, width = portrait.height, portrait.width
    down, across = np.mgrid[0:height, 0:width]
    smooth = np.stack([across * 255 // width, down * 255 // height, np.full_like(down, 128)], axis=2).astype(np.uint8)
    mesh = PortraitMesh(smooth, _only_face(faces, portrait.image))
    moved = mesh.render(Pose(yaw_deg=yaw_deg, pitch_deg=3)).astype(int)
    jumps = [np.abs(np.diff(moved, axis=axis)).max(axis=2) > 12 for axis in (0, 1)]
    assert max(float(jump.mean()) for jump in jumps) < 0.001


@pytest.mark.weights
def test_threads_may_share_a_portrait_and_sizes_are_as_asked(portrait: PortraitMesh) -> None:
    poses = [Pose(yaw_deg=angle, jaw_open=0.2) for angle in (-20, -10, 10, 20)]
    alone = [portrait.render(pose, size=(290, 300)) for pose in poses]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pose: portrait.render(pose, size=(290, 300)), poses))
    assert all(picture.shape == (300, 290, 3) and picture.flags["C_CONTIGUOUS"] for picture in alone)
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
