"""Data sets of TensorFlow Datasets: `--data tfds:NAME`."""

import hashlib
import logging
import socket
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np

from training.data import decode
from training.data.prepare import memory_bytes
from training.data.sources import Entries, Source, split
from training.runs.command import InputError, log

VAL_SHARE = 0.1
NOT_MIRRORED = ("mnist", "svhn", "emnist", "kmnist", "digits", "omniglot", "binary_alpha_digits")


def tfds_source(name: str, data_dir: str | None, seed: int) -> Source:
    """Prepare, if need be, and open an image classification set of TensorFlow Datasets.

    Without a network it prepares from the original archives under DIR/downloads/manual.

    Args:
        name: A name that tfds.builder takes, e.g. "fashion_mnist".
        data_dir: Where tensorflow-datasets keeps its files; by default its own place.
        seed: Decides the validation split where the set has none (10 % of train).

    Raises:
        InputError: If there is no such set, it is no image classification set, or it cannot be prepared.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir)
    image, label = _features(tfds, builder)
    _prepare(tfds, builder)
    _check_memory(builder)
    splits = {
        ours: _load(tfds, builder, theirs, image, label) for ours, theirs in _parts(builder).items()
    }
    if "val" not in splits:
        splits |= split(splits["train"], {"val": VAL_SHARE}, seed)
    info = builder.info.features
    first = splits["train"].load(0)
    return Source(
        name=builder.name,
        class_names=tuple(info[label].names),
        splits=splits,
        grey=info[image].shape[-1] == 1,
        picture_size=min(first.size),
        own_splits="test" in splits,
        mirrored=not any(word in builder.name for word in NOT_MIRRORED) or "fashion" in builder.name,
    )


def _builder(tfds, name: str, data_dir: str | None):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        import difflib

        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name, known, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"--data tfds:{name}: TensorFlow Datasets has no '{name}'.{hint}") from None
    except (ValueError, AssertionError) as error:
        raise InputError(f"--data tfds:{name}: {error}") from error


def _features(tfds, builder) -> tuple[str, str]:
    """Return the names of the image and of the label."""
    keys = builder.info.supervised_keys
    features = builder.info.features
    if keys and len(keys) == 2:
        image, label = keys
        if isinstance(features[image], tfds.features.Image) and isinstance(
            features[label], tfds.features.ClassLabel
        ):
            return image, label
    raise InputError(
        f"--data tfds:{builder.name} is not an image classification set: expected an Image and a "
        f"ClassLabel, not {keys}."
    )


def _prepare(tfds, builder) -> None:
    depth = builder.info.full_name.count("/")  # NAME/VERSION or NAME/CONFIG/VERSION
    manual = Path(builder.data_dir).parents[depth] / "downloads" / "manual"
    if builder.data_path.exists():
        return
    _check_reachable(builder, manual)
    log.info("preparing %s with TensorFlow Datasets (once)", builder.name)
    try:
        builder.download_and_prepare(
            download_dir=str(manual.parent),
            download_config=tfds.download.DownloadConfig(manual_dir=str(manual), try_download_gcs=False),
        )
    except Exception as error:
        raise InputError(
            f"--data tfds:{builder.name} could not be prepared: {type(error).__name__}: {error}\n"
            f"Without a network, put the original archives under {manual} and try again."
        ) from error


def _check_reachable(builder, manual: Path) -> None:
    """Say at once which archives are missing where their hosts cannot be found.

    Behind a proxy only the proxy can tell.
    """
    if urllib.request.getproxies():
        return
    missing = {
        info.filename: urllib.parse.urlsplit(url).hostname
        for url, info in builder.url_infos.items()
        if not (manual / info.filename).is_file()
    }
    for file, host in missing.items():
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            raise InputError(
                f"--data tfds:{builder.name}: {host} cannot be reached to download {file}. "
                f"Without a network, put {', '.join(missing)} under {manual} and try again."
            ) from None


def _parts(builder) -> dict[str, str]:
    """Return, for each split of ours, the name that the set gives it."""
    there = builder.info.splits
    if "train" not in there:
        raise InputError(f"--data tfds:{builder.name} has no split 'train', only {', '.join(there)}.")
    wanted = {"train": "train", "val": "validation", "test": "test"}
    return {ours: theirs for ours, theirs in wanted.items() if theirs in there}


def _load(tfds, builder, part: str, image: str, label: str) -> Entries:
    """Read a split as it is stored, encoded: decoding is ours, the same for every source."""
    encoded, labels = [], []
    stored = builder.as_dataset(
        split=part, shuffle_files=False, decoders={image: tfds.decode.SkipDecoding()}
    )
    for example in stored.as_numpy_iterator():
        encoded.append(example[image])
        labels.append(example[label])
    return Entries(
        np.array(labels, np.int32),
        tuple(f"{builder.name}/{part}/{i}" for i in range(len(labels))),
        lambda i: decode.open_picture(encoded[i]),
        lambda i: hashlib.sha256(encoded[i]).digest(),
    )


def _check_memory(builder) -> None:
    """Refuse a set that does not fit: its encoded pictures are held in memory."""
    size, budget = builder.info.dataset_size, memory_bytes() // 2
    if size > budget:
        raise InputError(
            f"--data tfds:{builder.name} takes {size / 1e9:.1f} GB, more than half of this machine's "
            "memory. Write it to folders and pass these."
        )
