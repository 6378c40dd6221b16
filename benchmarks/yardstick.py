"""The ordinary script for transfer learning, as courses and torchvision's examples write it.

Nothing here is ours, and nothing is tuned. `--finetune` trains the whole network instead of a new
last layer. It prints a line an epoch, and saves the best state dict at the end.
"""

import argparse
import copy
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

parser = argparse.ArgumentParser()
parser.add_argument("--train", required=True)
parser.add_argument("--valid", required=True)
parser.add_argument("--arch", default="resnet50")
parser.add_argument("--weights", required=True)
parser.add_argument("--save", required=True)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--lr", type=float, default=0.001)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--finetune", action="store_true")


def main() -> None:
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    normalize = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    train_transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            normalize,
        ]
    )
    valid_transform = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            normalize,
        ]
    )
    print("start", flush=True)
    train_data = datasets.ImageFolder(args.train, train_transform)
    valid_data = datasets.ImageFolder(args.valid, valid_transform)
    train_loader = DataLoader(
        train_data, batch_size=args.batch_size, shuffle=True, num_workers=args.workers
    )
    valid_loader = DataLoader(valid_data, batch_size=args.batch_size, num_workers=args.workers)

    num_classes = len(train_data.classes)
    model = getattr(models, args.arch)()
    model.load_state_dict(torch.load(args.weights))
    if not args.finetune:
        for parameter in model.parameters():
            parameter.requires_grad = False
    if args.arch.startswith("squeezenet"):
        model.classifier[1] = nn.Conv2d(512, num_classes, kernel_size=1)
        model.num_classes = num_classes
    else:
        model.fc = nn.Linear(model.fc.in_features, num_classes)
    model = model.to(device)

    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=args.lr)

    best_accuracy = 0.0
    best_state = copy.deepcopy(model.state_dict())
    for epoch in range(args.epochs):
        start = time.time()
        model.train()
        train_loss = 0.0
        for images, labels in train_loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * images.size(0)

        model.eval()
        correct = 0
        valid_loss = 0.0
        with torch.no_grad():
            for images, labels in valid_loader:
                images, labels = images.to(device), labels.to(device)
                outputs = model(images)
                valid_loss += criterion(outputs, labels).item() * images.size(0)
                correct += (outputs.argmax(1) == labels).sum().item()
        accuracy = correct / len(valid_data)
        if accuracy > best_accuracy:
            best_accuracy = accuracy
            best_state = copy.deepcopy(model.state_dict())
        print(
            f"epoch {epoch + 1}/{args.epochs} train loss {train_loss / len(train_data):.4f} "
            f"valid loss {valid_loss / len(valid_data):.4f} valid accuracy {accuracy:.4f} "
            f"({time.time() - start:.1f} s)",
            flush=True,
        )
    torch.save(best_state, args.save)
    print(f"saved; best valid accuracy {best_accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
