"""Invalid values for fields of several layers, and the whole error messages."""

from __future__ import annotations

import pytest

from tests.nn.layers.reading import complaint

PAIR = "expected a whole number above 0 or [height, width]"
SMALLER = "use padding: same, a smaller window, or less pooling before this layer"
WINDOWS = {
    "Conv2D": "kernel_size",
    "SeparableConv2D": "kernel_size",
    "DepthwiseConv2D": "kernel_size",
    "Conv2DTranspose": "kernel_size",
    "MaxPooling2D": "pool_size",
    "AveragePooling2D": "pool_size",
    "UpSampling2D": "size",
}
ABOUT = {
    "kernel_size": "height and width of the kernel; one number means both",
    "pool_size": "height and width of the window; one number means both",
    "size": "factors for height and width; one number means both",
}
FILTERS = ("Conv2D", "SeparableConv2D", "Conv2DTranspose")


def of_filters(kind: str) -> str:
    return "filters: 2, " if kind in FILTERS else ""


@pytest.mark.parametrize(
    ("value", "found"),
    [("0", "0"), ("-1", "-1"), ("[3, 0]", "[3, 0]"), ("1.5", "1.5"), ("[1, 2, 3]", "[1, 2, 3]")],
)
@pytest.mark.parametrize("kind", WINDOWS)
def test_a_window_has_two_sizes_above_0(kind: str, value: str, found: str) -> None:
    field = WINDOWS[kind]
    assert complaint(f"[{kind}: {{{of_filters(kind)}{field}: {value}}}]") == (
        f"layers[0].{kind}.{field}",
        f"{PAIR}, found {found}",
        f"{field}: {ABOUT[field]}",
    )


@pytest.mark.parametrize(
    "kind", [kind for kind in WINDOWS if kind not in ("Conv2DTranspose", "UpSampling2D")]
)
def test_a_window_larger_than_its_input(kind: str) -> None:
    assert complaint(f"[{kind}: {{{of_filters(kind)}{WINDOWS[kind]}: [2, 9]}}]") == (
        f"layers[0].{kind}",
        "a 2×9 window does not fit the 8×8 input of this layer",
        SMALLER,
    )


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("Dropout", "fraction of the values set to 0"),
        ("SpatialDropout2D", "fraction of the channels set to 0"),
        ("StochasticDepth", "probability that the input of an image is set to 0"),
    ],
)
def test_a_rate_is_below_1(kind: str, about: str) -> None:
    for value in ("1", "1.5"):
        expected = (f"layers[0].{kind}.rate", f"must be below 1, found {value}", f"rate: {about}")
        assert complaint(f"[{kind}: {value}]") == expected


@pytest.mark.parametrize("value", ["0", "-0.001"])
@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization", "GroupNormalization"])
def test_epsilon_is_above_0(kind: str, value: str) -> None:
    assert complaint(f"[{kind}: {{epsilon: {value}}}]") == (
        f"layers[0].{kind}.epsilon",
        f"must be above 0, found {value}",
        "epsilon: added to the variance, to avoid division by 0",
    )


@pytest.mark.parametrize("value", ["1.1", "2"])
def test_renorm_momentum_is_a_share(value: str) -> None:
    assert complaint(f"[BatchNormalization: {{renorm: true, renorm_momentum: {value}}}]") == (
        "layers[0].BatchNormalization.renorm_momentum",
        f"must be at most 1, found {value}",
        "renorm_momentum: momentum of the separate moving statistics for r and d",
    )


@pytest.mark.parametrize(
    ("margins", "cut"),
    [
        ("4", "4 + 4 rows and 4 + 4 columns"),
        ("[[8, 0], [0, 0]]", "8 + 0 rows and 0 + 0 columns"),
        ("[[0, 0], [1, 9]]", "0 + 0 rows and 1 + 9 columns"),
    ],
)
def test_cropping_leaves_something(margins: str, cut: str) -> None:
    assert complaint(f"[Cropping2D: {margins}]") == (
        "layers[0].Cropping2D",
        f"cropping {cut} leaves nothing of the 8×8 input",
        "crop less, or move the layer to where the image is larger",
    )
