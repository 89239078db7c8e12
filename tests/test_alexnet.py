"""AlexNet, and local response normalisation against a hand computation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnn_keras
from cnn_keras import analysis
from cnn_keras.layers import LocalResponseNormalization


def by_hand(images, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """Section 3.3 of Krizhevsky et al., one channel at a time."""
    channels = images.shape[-1]
    output = np.empty(images.shape, "float64")
    for i in range(channels):
        neighbours = range(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1)
        energy = sum(images[..., j].astype("float64") ** 2 for j in neighbours)
        output[..., i] = images[..., i] / (k + alpha * energy) ** beta
    return output


@pytest.fixture(params=["tensorflow", "keras.ops"])
def path(request, monkeypatch):
    """Both ways in which the layer computes."""
    if request.param == "keras.ops":
        monkeypatch.setattr(keras.backend, "backend", lambda: "another")


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("options", [{}, {"n": 3, "k": 1.0, "alpha": 0.5, "beta": 1.25}, {"n": 1}])
def test_lrn_by_hand(path, options, channels):
    images = np.random.default_rng(0).normal(0, 30, (2, 3, 4, channels)).astype("float32")
    output = LocalResponseNormalization(**options)(images)
    np.testing.assert_allclose(output, by_hand(images, **options), rtol=1e-5)


def test_lrn_by_hand_to_the_digit(path):
    """One pixel, n = 3, k = 1, alpha = 1, beta = 1: (1, 2, 3) -> 1/6, 2/15, 3/14."""
    layer = LocalResponseNormalization(n=3, k=1.0, alpha=1.0, beta=1.0)
    output = np.ravel(layer(np.array([1.0, 2.0, 3.0], "float32").reshape(1, 1, 1, 3)))
    np.testing.assert_allclose(output, [1 / 6, 2 / 15, 3 / 14], rtol=1e-6)


def test_lrn_gradients_of_both_paths_agree(monkeypatch):
    images = tf.constant(np.random.default_rng(0).normal(0, 30, (2, 3, 4, 8)), tf.float32)
    probe = tf.constant(np.random.default_rng(1).normal(size=(2, 3, 4, 8)), tf.float32)

    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = tf.reduce_sum(LocalResponseNormalization(alpha=0.01)(images) * probe)
        return tape.gradient(y, images)

    native = gradient()
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    np.testing.assert_allclose(gradient(), native, rtol=1e-3, atol=1e-5)


def test_lrn_is_tensorflow_s_operation():
    layer = LocalResponseNormalization()
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((1, 4, 4, 8))).graph
    assert "LRN" in {op.type for op in graph.get_operations()}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_lrn_in_mixed_precision(path, policy):
    """Also where the square, 360,000, is more than float16 can hold."""
    images = np.random.default_rng(0).normal(0, 3, (2, 3, 4, 8)).astype("float32")
    images[0, 0, 0, 0] = 600
    output = LocalResponseNormalization(dtype=policy)(images)
    assert output.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(output, "float32"), by_hand(images), rtol=0.02, atol=0.01)


@pytest.mark.parametrize("n", [0, 4, -1])
def test_lrn_needs_an_odd_n(n):
    with pytest.raises(ValueError, match="odd"):
        LocalResponseNormalization(n=n)


def test_lrn_is_saved(tmp_path):
    image = keras.Input((4, 4, 8))
    model = keras.Model(image, LocalResponseNormalization(3, 1.0, 0.5, 1.25)(image))
    model.save(tmp_path / "lrn.keras")
    loaded = keras.models.load_model(tmp_path / "lrn.keras")
    images = np.random.default_rng(0).normal(0, 3, (2, 4, 4, 8)).astype("float32")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_neurons_of_the_paper():
    """Section 3.5 counts the neurons of each layer; its 253,440 of conv1 do not fit its own sizes."""
    rows = {row.name: row for row in analysis.rows(cnn_keras.build("alexnet"))}
    neurons = [np.prod(rows[f"conv{i}"].output_shape) for i in range(1, 6)]
    assert neurons == [55 * 55 * 96, 186_624, 64_896, 64_896, 43_264]
    assert rows["pool5"].output_shape == (6, 6, 256)
    assert [rows[name].output_shape for name in ("fc6", "fc7", "predictions")] == [
        (4096,),
        (4096,),
        (1000,),
    ]


def test_kernels_of_the_paper():
    """Section 3.5: 11 x 11 x 3, 5 x 5 x 48, 3 x 3 x 256, 3 x 3 x 192, 3 x 3 x 192."""
    model = cnn_keras.build("alexnet", (67, 67, 3), 5)
    shapes = [tuple(model.get_layer(f"conv{i}").kernel.shape) for i in range(1, 6)]
    assert shapes == [
        (11, 11, 3, 96),
        (5, 5, 48, 256),
        (3, 3, 256, 384),
        (3, 3, 192, 384),
        (3, 3, 192, 256),
    ]


@pytest.mark.parametrize(("name", "together"), [("conv2", False), ("conv3", True), ("conv4", False)])
def test_towers_meet_at_conv3_only(name, together):
    layer = cnn_keras.build("alexnet", (67, 67, 3), 5).get_layer(name)
    channels = layer.input.shape[-1]
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 7, 7, channels)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x)[..., : layer.filters // 2])
    touched = np.abs(tape.gradient(y, x)).max(axis=(0, 1, 2)) > 0
    assert touched[: channels // 2].all()
    assert touched[channels // 2 :].any() == together


def test_order_of_the_first_layers():
    names = [layer.name for layer in cnn_keras.build("alexnet", (67, 67, 3), 5).layers]
    assert names[1:9] == ["conv1", "conv1_act", "norm1", "pool1", "conv2", "conv2_act", "norm2", "pool2"]
    assert names[-3:] == ["fc7_act", "dropout", "predictions"]


def test_switches():
    def build(**knobs):
        model = cnn_keras.build("alexnet", (67, 67, 3), 5, **knobs)
        return {layer.name: layer for layer in model.layers}

    assert not {"norm1", "norm2"} & build(lrn=False).keys()
    assert build()["pool1"].pool_size == (3, 3)
    assert build(overlapping=False)["pool1"].pool_size == (2, 2)
    assert build(overlapping=False)["pool1"].strides == (2, 2)
    assert isinstance(build(pooling="average")["pool5"], keras.layers.AveragePooling2D)
    assert {name: layer.rate for name, layer in build().items() if "dropout" in name} == {
        "fc6_dropout": 0.5,
        "dropout": 0.5,
    }
    assert not [name for name in build(dropout=0.0) if "dropout" in name]
    assert build(groups=1)["conv2"].kernel.shape == (5, 5, 96, 256)
    with pytest.raises(ValueError, match="groups must be 1 or 2"):
        build(groups=3)


def test_pools_without_overlap_have_the_same_maps():
    """Section 3.4 compares the two: same dimensions."""
    model = cnn_keras.build("alexnet", overlapping=False)
    assert [model.get_layer(f"pool{i}").output.shape[1] for i in (1, 2, 5)] == [27, 13, 6]


def test_feature_maps_of_the_one_tower():
    model = cnn_keras.build("alexnet_owt")
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["conv1"] == (55, 55, 64)
    assert shapes["pool1"] == (27, 27, 64)
    assert shapes["conv2"] == (27, 27, 192)
    assert shapes["pool2"] == (13, 13, 192)
    assert shapes["conv5"] == (13, 13, 256)
    assert shapes["pool5"] == (6, 6, 256)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_owt"])
def test_published_receptive_field(name):
    """Araujo et al. (Distill 2019), table 1: AlexNet sees 195 pixels with a step of 32."""
    rows = {row.name: row for row in analysis.rows(cnn_keras.build(name))}
    assert rows["pool5"].field.size == 195
    assert rows["pool5"].field.stride == 32


def test_one_tower_in_torch(randomise, relative_difference):
    """The same network of torch's functions: symmetric padding, and kernels turned to its order."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = cnn_keras.build("alexnet_owt", num_classes=20)
    randomise(model)
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype("float32")

    def weights(name):
        kernel, bias = model.get_layer(name).get_weights()
        return torch.tensor(kernel), torch.tensor(bias)

    x = torch.tensor(images).permute(0, 3, 1, 2)
    for name, stride, padding in (("1", 4, 2), ("2", 1, 2), ("3", 1, 1), ("4", 1, 1), ("5", 1, 1)):
        kernel, bias = weights(f"conv{name}")
        x = functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride, padding).relu()
        if name in "125":
            x = functional.max_pool2d(x, 3, 2)
    x = functional.adaptive_avg_pool2d(x, (6, 6)).permute(0, 2, 3, 1).flatten(1)
    for name in ("fc6", "fc7", "predictions"):
        kernel, bias = weights(name)
        x = x @ kernel + bias
        x = x if name == "predictions" else x.relu()
    assert relative_difference(model(images), x.detach().numpy()) < 1e-5


def test_lrn_in_torch():
    """torch divides alpha by the number of channels that it sums."""
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).normal(0, 30, (2, 3, 4, 8)).astype("float32")
    theirs = torch.nn.functional.local_response_norm(
        torch.tensor(images).permute(0, 3, 1, 2), 5, alpha=5e-4, beta=0.75, k=2.0
    )
    ours = LocalResponseNormalization()(images)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), rtol=1e-5)
