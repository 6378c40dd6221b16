"""LitServe with its batching: pictures as base64 in JSON, as its guide sends them.

As https://lightning.ai/docs/litserve/speed-up-serving-by-200x and
https://lightning.ai/docs/litserve/features/batching set it up.
"""

import base64
import io
import json
import os

import litserve
import torch
from PIL import Image
from torchvision import models, transforms


class ImageClassifier(litserve.LitAPI):
    def setup(self, device):
        with open(os.environ["BENCH_LABELS"], encoding="utf-8") as file:
            self.labels = json.load(file)
        model = models.resnet50(num_classes=len(self.labels))
        model.load_state_dict(torch.load(os.environ["BENCH_WEIGHTS"], weights_only=True))
        self.model = model.eval().to(device)
        self.transform = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def decode_request(self, request):
        return Image.open(io.BytesIO(base64.b64decode(request["image_data"])))

    def batch(self, inputs):
        return torch.stack([self.transform(image) for image in inputs])

    def predict(self, x):
        with torch.inference_mode():
            return self.model(x.to(self.device)).argmax(dim=1)

    def unbatch(self, output):
        return output.tolist()

    def encode_response(self, output):
        return {"label": self.labels[output]}


if __name__ == "__main__":
    api = ImageClassifier(max_batch_size=8, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), generate_client_file=False)
