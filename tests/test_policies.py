"""The table of policies: sizes, repeatability, and that old policies stay what they were."""

import numpy as np
import pytest
import tensorflow as tf

from training.data import decode, geometry
from training.data.augment import POLICIES, augment, mirrors, resolve, step_seed, stored_size
from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.sources import open_source
from training.engine import plan
from training.runs.settings import Fit

SIZE = 28


@pytest.fixture(scope="module")
def source():
    return open_source("digits")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_gives_pictures_of_the_networks_size(policy, channels):
    side = stored_size(policy, SIZE)
    image = np.random.default_rng(0).integers(0, 256, (side, side, channels), np.uint8)
    dataset = tf.data.Dataset.range(3).map(
        lambda i: augment(tf.constant(image), policy, tf.stack([0, tf.cast(i, tf.int32)]), SIZE)
    )
    assert dataset.element_spec == tf.TensorSpec((SIZE, SIZE, channels), tf.uint8)
    for i, found in enumerate(dataset.as_numpy_iterator()):
        np.testing.assert_array_equal(augment(tf.constant(image), policy, [0, i], SIZE), found)
    changes = policy != "none"
    assert len({one.tobytes() for one in dataset.as_numpy_iterator()}) == (3 if changes else 1)
    assert (side == SIZE) == (POLICIES[policy].crop is None)


def test_every_policy_names_its_source():
    for name, policy in POLICIES.items():
        assert len(policy.source.split()) > 3, name


def test_stored_sizes_are_the_papers():
    assert [stored_size(p, 224) for p in ("none", "alexnet", "inception", "vgg")] == [224, 256, 256, 384]


def test_light_is_a_flip_then_a_shift():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for i in range(5):
        seed = tf.constant([9, i])
        flipped = geometry.flip(tf.constant(image), step_seed(seed, 0))
        expected = geometry.shift(flipped, step_seed(seed, 1), 0.125)
        np.testing.assert_array_equal(augment(tf.constant(image), "light", seed), expected)


def test_auto_and_mirrors():
    assert resolve("auto", mirrored=True) == "light"
    assert resolve("auto", mirrored=False) == "digits"
    assert resolve("vgg", mirrored=False) == "vgg"
    assert not [name for name in ("none", "digits") if mirrors(name)]
    assert [name for name in POLICIES if mirrors(name)] == [
        name for name in POLICIES if name not in ("none", "digits")
    ]


@pytest.mark.parametrize("policy", ["strong", "inception"])
def test_same_seed_same_bytes_with_one_thread_and_two(source, policy):
    size = 12
    data = prepare(source, size, 1, train_size=stored_size(policy, size), quiet=True)

    def images(threads):
        dataset, steps = training_batches(
            data.to_augment, 120, 2, policy=policy, seed=0, image_size=size
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        batches = [x for x, _ in dataset.with_options(options).as_numpy_iterator()]
        return np.concatenate(batches[:steps]), np.concatenate(batches[steps:])

    first, second = images(1)
    assert first.shape[1:] == (size, size, 1)
    for one, other in zip((first, second), images(2), strict=True):
        np.testing.assert_array_equal(one, other)
    shared = {x.tobytes() for x in first} & {x.tobytes() for x in second}
    assert len(shared) < 0.1 * len(first)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_training_pictures_are_stored_larger_and_the_others_are_not(source, cache):
    plain = prepare(source, 16, 1, cache=cache, quiet=True)
    data = prepare(source, 16, 1, train_size=20, cache=cache, quiet=True)
    assert plain.to_augment is plain.splits["train"]
    entries = source.splits["train"]
    for i in (0, 700):
        expected = decode.resize(entries.load(i), 20, 1)
        np.testing.assert_array_equal(data.to_augment.picture(i), expected)
        small = data.splits["train"].picture(i)
        assert small.shape == (16, 16, 1)
        difference = np.abs(small.astype(int) - plain.splits["train"].picture(i).astype(int))
        assert difference.max() < 24  # resized twice
    for part in ("val", "test"):
        np.testing.assert_array_equal(data.splits[part].picture(3), plain.splits[part].picture(3))
    assert data.splits["train"].fingerprint == plain.splits["train"].fingerprint
    assert data.splits["train"].pixels is None


def test_what_a_fit_stores(source, tmp_path):
    def stored(**options):
        return plan.choose(Fit(arch="mobilenet_v2", image_size=224, **options), source).stored_size

    assert stored(augment="alexnet") == 256
    assert stored() == 224
    weights = tmp_path / "given.weights.h5"
    weights.touch()
    frozen = Fit(image_size=224, augment="vgg", weights=str(weights), freeze="backbone")
    assert plan.choose(frozen, source).stored_size == 224  # nothing is augmented


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"mixup": -1.0}, "--mixup must be positive"),
        ({"cutmix": float("nan")}, "--cutmix must be positive"),
        ({"mixup": 0.2, "batch_size": 1}, "batch-size 1 is too small"),
        ({"cutmix": 1.0, "weights": __file__, "freeze": "backbone"}, "--freeze backbone"),
    ],
)
def test_wrong_mixing_is_refused(words, message):
    with pytest.raises(Exception, match=message):
        Fit(**words)
