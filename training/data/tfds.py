"""Data sets of TensorFlow Datasets: `--data tfds:NAME`."""

import hashlib
import logging
import socket
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np

from training.data import decode
from training.data.cache import memory_bytes
from training.data.entries import Entries
from training.data.given import ALL, SPLIT_NAMES, Given, Part
from training.runs.command import InputError, log

VAL_SHARE = 0.1
NOT_MIRRORED = ("mnist", "omniglot")  # beside sets whose classes are named as characters are


def read_tfds(name: str, data_dir: str | None) -> Given:
    """Prepare, if need be, and read an image classification set of TensorFlow Datasets.

    Without a network it prepares from the original archives under DIR/downloads/manual.

    Args:
        name: A name that tfds.builder takes, e.g. "fashion_mnist".
        data_dir: Where tensorflow-datasets keeps its files; by default its own place.

    Raises:
        InputError: If there is no such set, it is no image classification set, or it cannot be prepared.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir)
    image, label = _features(tfds, builder)
    _prepare(tfds, builder)
    _check_memory(builder)
    info = builder.info.features
    names = tuple(info[label].names)
    parts = {
        ours: Part(_load(tfds, builder, theirs, image, label), names)
        for ours, theirs in _parts(builder).items()
    }
    first = next(iter(parts.values())).entries.load(0)
    return Given(
        data=f"tfds:{name}",
        name=builder.name,
        parts=parts,
        grey=info[image].shape[-1] == 1,
        picture_size=min(first.size),
        mirrored=not any(word in builder.name for word in NOT_MIRRORED) or "fashion" in builder.name,
        shares={"val": VAL_SHARE},
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
    images = [n for n, f in features.items() if isinstance(f, tfds.features.Image)]
    labels = [n for n, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if len(images) == len(labels) == 1:  # sets without supervised keys say as much by their features
        return images[0], labels[0]
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
        for url, info in (builder.url_infos or {}).items()  # None: it downloads nothing that it lists
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
    """Return, for each split of ours, the name that the set gives it; of one split, `ALL`."""
    there = list(builder.info.splits)
    found: dict[str, str] = {}
    for theirs in there:
        if theirs in SPLIT_NAMES:
            found.setdefault(SPLIT_NAMES[theirs], theirs)
    if not found:
        raise InputError(
            f"--data tfds:{builder.name} has no split train, validation or test, only "
            f"{', '.join(there)}."
        )
    return {ALL: found["train"]} if set(found) == {"train"} else found


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
