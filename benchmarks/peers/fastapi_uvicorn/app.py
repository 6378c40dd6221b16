"""A plain FastAPI server: an uploaded file, a `def` endpoint in the pool of threads, eager torch.

As https://fastapi.tiangolo.com/tutorial/request-files/ and
https://fastapi.tiangolo.com/async/ say for work that blocks; one uvicorn process.
"""

import io
import json
import os
from typing import Annotated

import torch
from fastapi import FastAPI, File
from PIL import Image
from torchvision import models, transforms

app = FastAPI()
with open(os.environ["BENCH_LABELS"], encoding="utf-8") as file:
    labels = json.load(file)
model = models.resnet50(num_classes=len(labels))
model.load_state_dict(torch.load(os.environ["BENCH_WEIGHTS"], weights_only=True))
model.eval()
transform = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


@app.get("/ping")
def ping():
    return {"status": "ready"}


@app.post("/predict")
def predict(file: Annotated[bytes, File()]):
    image = Image.open(io.BytesIO(file))
    with torch.inference_mode():
        logits = model(transform(image).unsqueeze(0))
    return {"label": labels[int(logits.argmax(1))]}
