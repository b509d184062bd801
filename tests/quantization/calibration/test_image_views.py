"""More views of few images."""

import numpy as np

from vitsd_export.quantization.calibration.image_views import image_views


def photos(count: int, size: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_the_images_come_first_then_their_mirror_images() -> None:
    images = photos(5)
    views = image_views(images, 10)
    np.testing.assert_array_equal(views[:5], images)
    np.testing.assert_array_equal(views[5:], images[:, :, ::-1])


def test_all_views_are_different_and_the_same_every_time() -> None:
    images = photos(3)
    views = image_views(images, 24)
    assert len(views) == 24
    assert len({view.tobytes() for view in views}) > 20
    np.testing.assert_array_equal(views, image_views(images, 24))


def test_a_view_is_moved_by_at_most_a_tenth() -> None:
    # A dot in the middle of 20 pixels stays within two of it.
    images = np.zeros((1, 20, 20, 3), np.uint8)
    images[0, 10, 10] = 255
    for view in image_views(images, 30):
        (row,), (column,) = np.nonzero(view[:, :, 0])
        assert abs(row - 10) <= 2
        assert min(abs(column - 10), abs(column - 9)) <= 2


def test_there_are_no_more_than_asked_for_but_all_images() -> None:
    assert len(image_views(photos(4), 11)) == 8
    np.testing.assert_array_equal(image_views(photos(4), 3), photos(4))
