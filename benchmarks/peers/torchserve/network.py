"""The model file of an eager archive: a class that takes no arguments.

As https://github.com/pytorch/serve/tree/master/examples/image_classifier/resnet_18 packs it.
"""

import json
from pathlib import Path

from torchvision.models.resnet import Bottleneck, ResNet


class Resnet50(ResNet):
    def __init__(self):
        names = json.loads(Path(__file__).with_name("index_to_name.json").read_text("utf-8"))
        super().__init__(Bottleneck, [3, 4, 6, 3], num_classes=len(names))
