"""Block diagrams: every layer is in one, branches and repeats are told apart, the file is whole."""

from xml.etree import ElementTree

import keras
import pytest

import cnn_keras
from cnn_keras import blocks, diagram
from cnn_keras.__main__ import main
from cnn_keras.blocks import Fork, Unit

SVG = "{http://www.w3.org/2000/svg}"
FAMILIES = [
    "lenet5",
    "lenet",
    "alexnet",
    "vgg11_lrn",
    "googlenet",
    "resnet18",
    "resnet20",
    "mobilenet_v1",
]
LARGE = [name for name in cnn_keras.names() if name not in FAMILIES]


def drawn(name, **knobs):
    variant = cnn_keras.get(name)
    model = cnn_keras.build(name, num_classes=variant.num_classes, **knobs)
    return model, ElementTree.fromstring(
        diagram.draw(cnn_keras.without_auxiliary(model), f"<{name}> & co")
    )


def texts(svg):
    return [element.text for element in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_every_layer_is_in_one_block_and_every_number_adds_up(name):
    model, svg = drawn(name)
    shown = [group.find(f"{SVG}title").text.split(", ") for group in svg.iter(f"{SVG}g")]
    names = [layer for block in shown for layer in block]
    assert sorted(names) == sorted(operation.name for operation in model.operations)
    found = blocks.of(model)
    assert all(block.name and block.last for block in found)
    assert len({block.name for block in found}) == len(found)
    rows = [row for block in found for row in block.rows]
    assert sum(row.params for row in rows) == cnn_keras.get(name).params
    assert sum(row.macs for row in rows) == cnn_keras.get(name).macs
    assert f"<{name}> & co" in texts(svg)
    width, height = (float(svg.get(side)) for side in ("width", "height"))
    assert height < 4000
    for box in svg.iter(f"{SVG}rect"):
        if box.get("width") != "100%":
            assert float(box.get("x")) >= 0
            assert float(box.get("x")) + float(box.get("width")) <= width
            assert float(box.get("y")) + float(box.get("height")) <= height


def test_repeated_blocks_are_drawn_once():
    """ResNet-18: in each stage a first block; that of conv2 is like its second, the others project."""
    found = blocks.of(cnn_keras.build("resnet18"))
    assert [(block.name, block.last, block.count) for block in found] == [
        ("image", "image", 1),
        ("conv1", "conv1", 1),
        ("pool1", "pool1", 1),
        ("conv2_block1", "conv2_block2", 2),
        *((f"conv{stage}_block{i}", f"conv{stage}_block{i}", 1) for stage in (3, 4, 5) for i in (1, 2)),
        ("avg_pool", "avg_pool", 1),
        ("predictions", "predictions", 1),
    ]


def test_branches_of_a_residual_block():
    found = {block.name: block for block in blocks.of(cnn_keras.build("resnet18"))}
    (fork,) = found["conv2_block1"].parts
    assert fork.kind == "add"
    assert [[unit.label for unit in branch] for branch in fork.branches] == [
        ["3x3 conv 64", "3x3 conv 64"],
        [],
    ]
    (fork,) = found["conv3_block1"].parts
    assert [[unit.label for unit in branch] for branch in fork.branches] == [
        ["3x3 conv 128 /2", "3x3 conv 128"],
        ["1x1 conv 128 /2"],
    ]


def test_a_shortcut_that_pads_has_no_name_of_its_own():
    """ResNet-20 pads its shortcuts (option A): every second pixel, and channels of zeros."""
    found = {block.name: block for block in blocks.of(cnn_keras.build("resnet20", (32, 32, 3), 10))}
    assert list(found)[2:] == [
        *("conv2_block1", "conv3_block1", "conv3_block2", "conv4_block1", "conv4_block2"),
        *("avg_pool", "predictions"),
    ]
    (fork,) = found["conv3_block1"].parts
    assert [[unit.label for unit in branch] for branch in fork.branches] == [
        ["3x3 conv 32 /2", "3x3 conv 32"],
        ["1x1 max pool /2", "pad"],
    ]


def test_branches_of_an_inception_module():
    """GoogLeNet, table 1, row 3a."""
    found = {block.name: block for block in blocks.of(cnn_keras.build("googlenet"))}
    assert sum(name.startswith("inception") for name in found) == 9
    (fork,) = found["inception_3a"].parts
    assert fork.kind == "concat"
    assert [[unit.label for unit in branch] for branch in fork.branches] == [
        ["1x1 conv 64"],
        ["1x1 conv 96", "3x3 conv 128"],
        ["1x1 conv 16", "5x5 conv 32"],
        ["3x3 max pool", "1x1 conv 32"],
    ]


def test_a_module_within_a_module():
    found = {block.name: block for block in blocks.of(cnn_keras.build("inception_v3", (75, 75, 3)))}
    (fork,) = found["mixed9"].parts
    nested = [part for branch in fork.branches for part in branch if isinstance(part, Fork)]
    assert [[[u.label for u in branch] for branch in inner.branches] for inner in nested] == [
        [["1x3 conv 384"], ["3x1 conv 384"]],
        [["1x3 conv 384"], ["3x1 conv 384"]],
    ]


def test_inverted_residuals_with_and_without_shortcut():
    found = {block.name: block for block in blocks.of(cnn_keras.build("mobilenet_v2", (32, 32, 3)))}
    labels = ["1x1 conv 144", "3x3 depthwise 144", "1x1 conv 24"]
    assert [unit.label for unit in found["block_2"].parts[0].branches[0]] == labels
    assert all(isinstance(part, Unit) for part in found["block_3"].parts)
    assert found["block_7"].count == 3


def test_a_depthwise_and_a_1x1_convolution_are_one_block():
    found = blocks.of(cnn_keras.build("mobilenet_v1", (32, 32, 3)))
    assert [block.name for block in found][1:4] == ["conv1", "separable_1", "separable_2"]
    repeated = next(block for block in found if block.count > 1)
    assert (repeated.name, repeated.last, repeated.count) == ("separable_7", "separable_11", 5)
    assert sum(row.kind == "DepthwiseConv2D" for row in repeated.rows) == 5


def test_a_model_of_ones_own():
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, (1, 3), strides=2, name="a")(image)
    y = keras.layers.Add(name="sum")([x, keras.layers.ReLU(name="r")(x)])
    found = blocks.of(keras.Model(image, y))
    fork = found[-1].parts[-1]
    assert [len(branch) for branch in fork.branches] == [1, 0]
    assert "1x3 conv 4 /2" in diagram.draw(keras.Model(image, y), "own")


def test_several_outputs_are_refused():
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="a")(image)
    model = keras.Model(image, [keras.layers.ReLU(name="r")(x), keras.layers.Flatten(name="f")(x)])
    with pytest.raises(ValueError, match="several outputs"):
        diagram.draw(model, "two heads")


def test_numbers_are_short():
    numbers = (0, 156, 999, 1000, 25_557_032, 999_600, 15_470_264_320)
    assert [diagram.short(n) for n in numbers] == ["0", "156", "999", "1 k", "25.6 M", "1 M", "15.5 G"]


def test_on_the_command_line(tmp_path, cli):
    path = tmp_path / "of lenet5.svg"
    path.write_text("what was there")
    process = cli("cnn_keras", "lenet5", "--plot", path)
    assert process.returncode == 0, process.stderr
    assert f"The block diagram is {path}." in process.stdout
    svg = ElementTree.parse(path).getroot()
    assert {"lenet5", "C1", "5x5 conv 6", "28 x 28 x 6, sees 5 px", "156 parameters, 118 k MACs"} <= {
        *texts(svg)
    }
    assert list(tmp_path.iterdir()) == [path]  # nothing temporary stays behind


def test_auxiliary_classifiers_are_left_out(tmp_path, capsys):
    path = tmp_path / "googlenet.svg"
    words = ["googlenet", "--image-size", "224", "--knob", "aux=True", "--plot", str(path)]
    assert main(words) == 0
    assert "aux" not in path.read_text()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("x.png", "must end in .svg"),
        ("missing/x.svg", "writable folder"),
        ("folder.svg", "must be a file"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_at_once(file, message, tmp_path, capsys, monkeypatch):
    (tmp_path / "folder.svg").mkdir()
    monkeypatch.setattr("cnn_keras.__main__.show", lambda arguments: pytest.fail("too late"))
    assert main(["lenet5", "--plot", str(tmp_path / file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --plot")
    assert message in error


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space"):
        diagram.write(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
