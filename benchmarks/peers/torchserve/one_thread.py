"""The stock image classifier with one thread a worker.

As https://pytorch.org/serve/performance_guide.html says under "Concurrency And Number of Workers".
"""

import torch
from ts.torch_handler.image_classifier import ImageClassifier


class OneThread(ImageClassifier):
    def initialize(self, context):
        torch.set_num_threads(1)
        super().initialize(context)
