"""MixUp and CutMix: shares by hand, targets that keep their mass, and a loss for both kinds of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from training.data.mixing import Mixing, beta, cut_mix, mix_up
from training.data.pipeline import training_batches
from training.data.prepare import prepare
from training.data.sources import open_source
from training.engine.auxiliary import stages
from training.engine.losses import Loss, accuracy

CLASSES, COUNT = 5, 16
LABELS = np.arange(COUNT) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype="float32")[LABELS]
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3), np.uint8)


def both_ways(operation, *arguments):
    """Run on a batch eagerly and inside tf.data; they must agree."""
    eager = operation(tf.constant(IMAGES), tf.constant(ONE_HOT), tf.constant([3, 4]), *arguments)
    dataset = tf.data.Dataset.from_tensors((IMAGES, ONE_HOT)).map(
        lambda x, y: operation(x, y, tf.constant([3, 4]), *arguments)
    )
    for a, b in zip(next(iter(dataset)), eager, strict=True):
        np.testing.assert_array_equal(a, b)
    images, targets = (part.numpy() for part in eager)
    assert images.dtype == np.uint8
    assert images.shape == IMAGES.shape
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert (targets >= 0).all()
    return images, targets


def partners_of(targets):
    """Tell each picture's partner from its targets: the same number of places on for all."""
    for places in range(1, COUNT):
        partners = np.roll(np.arange(COUNT), places)
        own = targets[np.arange(COUNT), LABELS]
        rebuilt = own[:, None] * ONE_HOT + (1 - own)[:, None] * ONE_HOT[partners]
        if np.allclose(rebuilt, targets, atol=1e-6) and (LABELS[partners] != LABELS).all():
            yield partners, own


def test_mix_up_by_hand():
    images, targets = both_ways(mix_up, 0.8)
    errors = []
    for partners, share in partners_of(targets):
        share = share[:, None, None, None]
        errors.append(np.abs(share * IMAGES + (1 - share) * IMAGES[partners] - images).max())
    assert min(errors) <= 0.51  # rounded
    assert len(set(targets.max(1).round(4))) > COUNT // 2  # a share for each picture


def test_cut_mix_shares_are_the_areas_pasted():
    images, targets = both_ways(cut_mix, 1.0)
    right = 0
    for partners, share in partners_of(targets):
        pasted = (images != IMAGES).any(-1)
        foreign = np.where(pasted[..., None], IMAGES[partners], IMAGES)
        if not np.array_equal(foreign, images):
            continue
        right += 1
        np.testing.assert_allclose(1 - share, pasted.mean((1, 2)), atol=1e-6)
        for one in pasted:  # a box
            rows, columns = one.any(1), one.any(0)
            np.testing.assert_array_equal(one, rows[:, None] & columns[None])
            assert (np.diff(np.flatnonzero(rows)) == 1).all()
        assert len(set(share.round(4))) > COUNT // 2
    assert right == 1


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0])
def test_beta_is_scipys(alpha):
    found = beta(alpha, 4000, tf.constant([1, 2])).numpy().astype("float64")
    assert np.isfinite(found).all()
    inner = found[(found > 0.01) & (found < 0.99)]  # float32 tells no more apart than that
    low, high = stats.beta(alpha, alpha).cdf([0.01, 0.99])
    assert stats.kstest(
        inner, lambda x: (stats.beta(alpha, alpha).cdf(x) - low) / (high - low)
    ).pvalue > (1e-3)
    assert len(inner) / 4000 == pytest.approx(high - low, abs=0.03)


def test_targets_of_several_outputs_are_mixed_alike():
    targets = {"logits": ONE_HOT, "aux": {"a": ONE_HOT[:, ::-1].copy(), "b": ONE_HOT[:, :1]}}
    for operation in (mix_up, cut_mix):
        images, found = operation(tf.constant(IMAGES), targets, tf.constant([3, 4]), 1.0)
        alone_images, alone = operation(tf.constant(IMAGES), ONE_HOT, tf.constant([3, 4]), 1.0)
        np.testing.assert_array_equal(images, alone_images)
        np.testing.assert_array_equal(found["logits"], alone)
        np.testing.assert_array_equal(found["aux"]["a"], alone.numpy()[:, ::-1])
        np.testing.assert_array_equal(found["aux"]["b"], alone.numpy()[:, :1])


def test_mixing_takes_labels_and_draws_one_of_the_two():
    kinds, shares = {"mixup": 0, "cutmix": 0}, set()
    for i in range(60):
        images, targets = Mixing(1.0, 1.0, CLASSES)(
            tf.constant(IMAGES), {"a": tf.constant(LABELS)}, tf.constant([0, i])
        )
        np.testing.assert_allclose(targets["a"].numpy().sum(1), 1, rtol=1e-6)
        shares.add(float(targets["a"][0, 0]))
        foreign = (images.numpy()[:, :, :, :, None] == IMAGES.transpose(1, 2, 3, 0)).any(-1)
        kinds["cutmix" if foreign.all() else "mixup"] += 1
    assert min(kinds.values()) > 15
    assert len(shares) > 30  # another seed, other shares


def test_a_batch_of_one_is_left_alone():
    for operation in (mix_up, cut_mix):
        images, targets = operation(IMAGES[:1], ONE_HOT[:1], tf.constant([0, 0]), 1.0)
        np.testing.assert_array_equal(images, IMAGES[:1])
        np.testing.assert_allclose(targets, ONE_HOT[:1], rtol=1e-6)


def test_the_pipeline_mixes_afresh_and_repeats():
    split = prepare(open_source("digits"), 16, 1, quiet=True).splits["train"]

    def batches(threads, seed=0, first_epoch=0):
        dataset, steps = training_batches(
            split,
            100,
            2,
            policy="none",
            seed=seed,
            first_epoch=first_epoch,
            mixing=Mixing(0.4, 1.0, 10),
        )
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        images, targets = zip(*dataset.with_options(options).as_numpy_iterator(), strict=True)
        assert dataset.element_spec[1].dtype == tf.float32
        return np.stack(images), np.stack(targets), steps

    images, targets, steps = batches(1)
    for a, b in zip((images, targets), batches(2), strict=False):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    assert not np.array_equal(targets[:steps].max(-1), targets[steps:].max(-1))
    assert not np.array_equal(images, batches(1, seed=1)[0])
    np.testing.assert_array_equal(batches(1, first_epoch=1)[0][:steps], images[steps:])


def test_the_loss_takes_labels_and_shares():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 4)).astype("float32"), rng.integers(0, 4, 7)
    likelihood = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -likelihood[np.arange(7), labels].mean()
    assert float(Loss()(labels, logits)) == pytest.approx(expected, rel=1e-5)
    one_hot = np.eye(4, dtype="float32")[labels]
    assert float(Loss()(one_hot, logits)) == pytest.approx(expected, rel=1e-5)
    shares = 0.3 * one_hot + 0.7 * np.roll(one_hot, 1, 0)
    expected = -(shares * likelihood).sum(1).mean()
    assert float(Loss()(shares, logits)) == pytest.approx(expected, rel=1e-5)
    right = (logits.argmax(1) == labels).astype("float32")
    np.testing.assert_array_equal(accuracy(labels, logits), right)
    np.testing.assert_array_equal(accuracy(one_hot, logits), right)
    np.testing.assert_array_equal(accuracy(shares, logits), logits.argmax(1) == np.roll(labels, 1))


def test_auxiliary_classifiers_train_on_shares_and_are_validated_on_labels():
    image = keras.Input((12, 10, 3), name="image")
    flat = keras.layers.Flatten()(image / 255)
    heads = {n: keras.layers.Dense(CLASSES, name=n)(flat) for n in ("aux1", "logits")}
    ((_, model),) = stages(keras.Model(image, heads), 0.3, stage_by_stage=False)
    model.compile(keras.optimizers.SGD(0.0), Loss(), metrics=[accuracy])
    images, targets = mix_up(tf.constant(IMAGES), ONE_HOT, tf.constant([0, 1]), 1.0)
    row = model.fit(
        tf.data.Dataset.from_tensors((images, targets)),
        validation_data=tf.data.Dataset.from_tensors((IMAGES, LABELS)),
        shuffle=False,
        verbose=0,
    ).history

    def cross_entropy(shares, logits):
        logits = np.asarray(logits, "float64")
        return (
            -(np.asarray(shares) * (logits - np.log(np.exp(logits).sum(1, keepdims=True)))).sum(1).mean()
        )

    mixed, plain = model(tf.cast(images, "float32")), model(IMAGES.astype("float32"))
    expected = [cross_entropy(targets, mixed[n]) for n in ("logits", "aux1")]
    assert row["loss"][0] == pytest.approx(expected[0] + 0.3 * expected[1], rel=1e-4)
    assert row["val_loss"][0] == pytest.approx(cross_entropy(ONE_HOT, plain["logits"]), rel=1e-4)
    right = np.asarray(plain["logits"]).argmax(1) == LABELS
    assert row["val_accuracy"][0] == pytest.approx(right.mean())


@pytest.mark.slow
def test_a_fit_that_mixes(cli, tmp_path):
    words = ("--arch", "lenet5", "--epochs", 6, "--augment", "cifar", "--export", "none")
    mixing = ("--mixup", 0.2, "--cutmix", 1, "--out", tmp_path, "--name", "run")
    process = cli("training.fit", *words, *mixing)
    assert process.returncode == 0, process.stderr
    assert "augmentation cifar, MixUp 0.2, CutMix 1" in process.stdout
    assert "these are not their class mirrored" in process.stdout
