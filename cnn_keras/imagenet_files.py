"""Which official ImageNet weights keras.applications has, and the hashes of the files.

The MD5 sums of `_MD5` are those that Keras 3.15 itself checks. For the MobileNets it checks none: the
SHA-256 sums of v1 are those of a list in others' code, two of them confirmed on the files; the MD5 sums
of v2 were measured by others on their downloads; for most files of v2 nobody publishes any.
"""

from collections.abc import Mapping
from typing import Any

from cnn_keras import registry

_KERNELS = "_weights_tf_dim_ordering_tf_kernels"

# path below the address; MD5 with the classifier; MD5 without
_MD5 = {
    "vgg16": ("vgg16/vgg16", "64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
    "vgg19": ("vgg19/vgg19", "cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
    "inception_v3": (
        "inception_v3/inception_v3",
        "9a0d58056eeedaa3f26cb7ebd46da564",
        "bcbd6486424b2319ff4ef7d526e38f63",
    ),
    "densenet121": (
        "densenet/densenet121",
        "9d60b8095a5708f2dcce2bca79d332c7",
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    "densenet169": (
        "densenet/densenet169",
        "d699b8f76981ab1b30698df4c175e90b",
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    "densenet201": (
        "densenet/densenet201",
        "1ceb130c1ea1b78c3bf6114dbdfd8807",
        "c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
    "resnet50": (
        "resnet/resnet50",
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "resnet101": (
        "resnet/resnet101",
        "f1aeb4b969a6efcfb50fad2f0c20cfc5",
        "88cf7a10940856eca736dc7b7e228a21",
    ),
    "resnet152": (
        "resnet/resnet152",
        "100835be76be38e30d865e96f2aaae62",
        "ee4c566cf9a93f14d82f913c2dc6dd0c",
    ),
    "resnet50_v2": (
        "resnet/resnet50v2",
        "3ef43a0b657b3be2300d5770ece849e0",
        "fac2f116257151a9d068a22e544a4917",
    ),
    "resnet101_v2": (
        "resnet/resnet101v2",
        "6343647c601c52e1368623803854d971",
        "c0ed64b8031c3730f411d2eb4eea35b5",
    ),
    "resnet152_v2": (
        "resnet/resnet152v2",
        "a49b44d1979771252814e80f8ec446f9",
        "ed17cf2e0169df9d443503ef94b23b33",
    ),
}

_MOBILENET_V2 = "mobilenet_v2/mobilenet_v2" + _KERNELS + "_"
_MOBILENET_V2_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_MOBILENET_V2_SIZES = (96, 128, 160, 192, 224)
_MOBILENET_V2_MD5 = {
    (1.0, 224): ("321911b381f6fd09b744356f6796ee18", "f1a68526548f7541cda07e19ba6c85f4"),
}

_MOBILENET_V1_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
_MOBILENET_V1_SIZES = (128, 160, 192, 224)
# width, size: with the classifier, without
_MOBILENET_V1_SHA256 = {
    ("1_0", 128): (
        "ef1480dcb7f11a75bc5187a74863b3b97c4cfed6b6dd5c78f003ba002a4d7fe6",
        "8fbb8332b956430de61ad4fa1ab261ab5b7922ef1d0f38c30056a485ec0d4ecb",
    ),
    ("1_0", 160): (
        "a41aa0195ebe0a5301ab90af589155b42671f78704fd9a2e7dda919c478cd479",
        "22d25b67a8936869b5f0d0c840ba150c90dc89c0b07f8aacd387614be67845d2",
    ),
    ("1_0", 192): (
        "bd7e7f6a7cd6690a10aedba3e93bec811240418bd9179546e50c0f4c35899a01",
        "d67556231564ded95aaa7a44004c73aa9696fba267a6817f430eee097af11782",
    ),
    ("1_0", 224): (
        "006a2d9484fbea625dd4e6518652c101a3eca052671671c56265fc84f2e1181f",
        "9f9cfd8c925431c06ce96744e1d201575f6a681bf38ae2de38e2ae8f7d7829d3",
    ),
    ("7_5", 128): (
        "cafcb7455c36187c93eb7fb3a68e29f76b5761cb2d946d57d1967578e3b05361",
        "dcc5aaa418bbf397a431e79a52be0ad1a61fb6364a9bb6d68b5258f13669c8ba",
    ),
    ("7_5", 160): (
        "3ee6f1daa0f9da149bec3311eacfb4451ca236bc126dc25ee191f5bdc6e641be",
        "6056d87ad4e3b341cc8272d68b54a8a113ef0b0e5ab1399e4a801d2942a064fa",
    ),
    ("7_5", 192): (
        "a7a2364ee404c19301edb827de693f46eeb46aad13e2c5e73494545e57749eef",
        "b8ea4352b99a87552c0b84c59b59d146b823b684766026ed8f0c68d3aab9e677",
    ),
    ("7_5", 224): (
        "811e0307a7e8895a180b81c191033482d99470a0604ea8e88e8d947005067d84",
        "1da9019b66f05a0256dedfed0f321fcaf8bfa71f9facf3f9117e62820be39aa5",
    ),
    ("5_0", 128): (
        "26752cdb9ab8459c85fb4cd0f45475bbd3bd25f9225b87bbedd474f5976da145",
        "7f9871530e19990a9a180626566fcc32fb487c70880306592cae219d67179635",
    ),
    ("5_0", 160): (
        "71c742137645f19426ea3540bb2933310b0a5f2d3a2d09ee1aea91e348f6fba7",
        "7b15a4d22079138dd889a78cdea8d921a3b73cf7d313ff12f23634c4f71bcace",
    ),
    ("5_0", 192): (
        "fabfe055bd26ea40c1c0798c4e22fe1eb437feab111be9f1f722360dff81e040",
        "b848a83f140e284973d80805dc4c184a0a885dadcc1700630a86879c9103d5b1",
    ),
    ("5_0", 224): (
        "b4b134ed41de14fd8d6717ab4e88b53e3113194acae392bc41c012ba463906bb",
        "df860c59562f4c4af7a2fb2ae90731caef39fd5d03e5fcd6ca46988965f0a4b7",
    ),
    ("2_5", 128): (
        "fe295db7f78635f1403127e3ba8cdc6237f83262bdb745063a67c1d81190c7f8",
        "7d8b7f3c9555cb4579f9659ee233a540e66fd7ad514c0a8b14493b667447c5d6",
    ),
    ("2_5", 160): (
        "74b32700eb3f6fb8d0b3f416c3fb52ab5eca35dc82393341eb7bb52676b6b003",
        "c2f18432229c945b816f8b9f9cfa40d2964454b033efea804f6cd03942865bd4",
    ),
    ("2_5", 192): (
        "22a302e8a39e545c7372ca96fe8698e3cbbc7d3906f60316e0617c15616f8894",
        "4b7370b9880577f12f31942049d19610a4559c8af38f39dc67d1f90ec9663aa1",
    ),
    ("2_5", 224): (
        "98d047950e59f478af63681720906940efc8ce8cecb95bce5c7b47394f8bd63d",
        "dbdb03ee2a22fd895301636cd328b234bb3a9952358f436d82f46b81e0d5b0bf",
    ),
}

# switches that leave the weights as they are
_HARMLESS = {"dropout", "bn_momentum", "output_stride", "initializer", "zero_init_residual", "aux"}


def names() -> tuple[str, ...]:
    """Return the networks that have official weights."""
    return (*_MD5, "mobilenet_v1", "mobilenet_v2")


def check(name: str, knobs: Mapping[str, Any]) -> None:
    """Check that there are official weights for a network; needs neither Keras nor a network.

    Args:
        name: Name of the network.
        knobs: Its switches, with those of `Variant.reference_knobs`.

    Raises:
        ValueError: If there are none; the message says for what there are.
    """
    if name not in names():
        raise ValueError(
            f"There are no official ImageNet weights for {name}. There are for {', '.join(names())}."
        )
    variant = registry.get(name)
    official = {**variant.available_knobs, **variant.reference_knobs}
    alphas = {"mobilenet_v1": tuple(_MOBILENET_V1_ALPHAS), "mobilenet_v2": _MOBILENET_V2_ALPHAS}.get(
        name
    )
    wrong = {
        knob: value
        for knob, value in {**variant.available_knobs, **knobs}.items()
        if knob not in _HARMLESS
        and value != official[knob]
        and not (knob == "alpha" and value in alphas)
    }
    if wrong:
        given = ", ".join(f"{knob}={value}" for knob, value in wrong.items())
        needed = (
            f"alpha {', '.join(map(str, alphas))}"
            if "alpha" in wrong
            else ", ".join(f"{knob}={official[knob]}" for knob in wrong)
        )
        raise ValueError(
            f"There are no official ImageNet weights for {name} with {given}; there are for {needed}."
        )


def file_of(
    name: str, image_size: int, knobs: Mapping[str, Any], *, top: bool
) -> tuple[str, str | None]:
    """Return the path of a network's weights below the official address, and their hash if known.

    Args:
        name: Name of the network.
        image_size: Side of its input, pixels; where there are weights for several sizes, those of this
            size are taken, else those for 224, as keras.applications does.
        knobs: Its switches.
        top: Whether with the classifier of 1000 classes.

    Raises:
        ValueError: If there are no official weights for it.
    """
    check(name, knobs)
    alpha = float(knobs.get("alpha", 1.0))
    which = 0 if top else 1
    if name == "mobilenet_v1":
        width = _MOBILENET_V1_ALPHAS[alpha]
        rows = image_size if image_size in _MOBILENET_V1_SIZES else 224
        end = "" if top else "_no_top"
        return f"mobilenet/mobilenet_{width}_{rows}_tf{end}.h5", _MOBILENET_V1_SHA256[width, rows][which]
    if name == "mobilenet_v2":
        rows = image_size if image_size in _MOBILENET_V2_SIZES and alpha <= 1 else 224
        hashes = _MOBILENET_V2_MD5.get((alpha, rows), (None, None))
        return f"{_MOBILENET_V2}{alpha}_{rows}{'' if top else '_no_top'}.h5", hashes[which]
    path, *hashes = _MD5[name]
    return f"{path}{_KERNELS}{'' if top else '_notop'}.h5", hashes[which]
