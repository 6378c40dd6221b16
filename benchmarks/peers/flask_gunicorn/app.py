"""The classic: Flask, eager torch, one picture a request.

As https://pytorch.org/tutorials/intermediate/flask_rest_api_tutorial.html builds it, with
gunicorn and two workers in front, as everybody deploys it.
"""

import io
import json
import os

import torch
from flask import Flask, jsonify, request
from PIL import Image
from torchvision import models, transforms

app = Flask(__name__)
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
    return jsonify(status="ready")


@app.post("/predict")
def predict():
    image = Image.open(io.BytesIO(request.files["file"].read()))
    with torch.no_grad():
        logits = model(transform(image).unsqueeze(0))
    return jsonify(label=labels[int(logits.argmax(1))])
