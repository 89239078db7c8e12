"""A network of every family, as small as its switches allow, with every kind of layer that it has."""

SMALL = [
    ("linear", 16, {}),
    ("mlp", 16, {"activation": "prelu"}),
    ("lenet5", 32, {"sparse_c3": True}),
    ("lenet", 32, {}),
    ("tdnn", 16, {}),
    ("ar", 16, {}),
    ("narx", 16, {}),
    ("rnn", 16, {}),
    ("lstm", 16, {"bidirectional": True}),
    ("gru", 16, {}),
    ("vgg11", 32, {"hidden": (8, 8)}),
    ("vgg11", 32, {"hidden": (8, 8), "fully_convolutional": True, "window": 1}),
    ("vgg11_lrn", 32, {"hidden": (8,)}),
    ("resnet18", 32, {"depths": (1, 1, 1, 1), "shortcut": "C"}),
    ("resnet50", 32, {"depths": (1, 1, 1, 1)}),
    ("resnet50_v2", 32, {"depths": (1, 1, 1, 1)}),
    ("resnet20", 32, {"depth": 8, "shortcut": "A"}),
    ("densenet121", 32, {"depths": (1, 1, 1, 1)}),
    ("densenet100_bc_k12", 8, {"depth": 10}),
    ("mobilenet_v1", 32, {"alpha": 0.25, "shallow": True, "normalization": "group"}),
    ("mobilenet_v2", 32, {"alpha": 0.35}),
]
# small only with much of what makes them: the two AlexNets and the Inceptions
DEEP = [
    ("alexnet", 67, {}),
    ("alexnet_owt", 63, {}),
    ("googlenet", 64, {"aux": True}),
    ("inception_v2", 64, {}),
    ("inception_v3", 107, {"aux": True}),
    ("inception_v4", 75, {}),
]
