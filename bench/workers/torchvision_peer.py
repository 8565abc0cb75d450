"""The peer's side of reading pictures: torchvision's ImageFolder and PyTorch's DataLoader with two workers."""

import json
import sys
import time

import numpy
import torch
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

state = {}


def open_folder(folder, size, batch, **_):
    resized = [transforms.Resize(size), transforms.CenterCrop(size)]
    state["plain"] = ImageFolder(folder, transforms.Compose([*resized, transforms.PILToTensor()]))
    trained = ImageFolder(
        folder, transforms.Compose([*resized, transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    )
    # Epoch after epoch without the pause between two.
    sampler = RandomSampler(trained, num_samples=1000 * len(trained))
    loader = DataLoader(trained, batch, sampler=sampler, num_workers=2, persistent_workers=True, prefetch_factor=2)
    state["batches"] = iter(loader)
    state["batch"] = batch
    return {"length": len(trained)}


def compare(path, count, **_):
    """Mean difference of pixel values, 0 … 255, from what the other side wrote."""
    ours = torch.from_numpy(numpy.fromfile(path, numpy.uint8)).reshape(count, -1)
    theirs = torch.stack([state["plain"][i][0].reshape(-1) for i in range(count)])
    return {"difference": (ours.float() - theirs.float()).abs().mean().item()}


def load(before, batches, **_):
    for _ in range(before):
        next(state["batches"])
    begin = time.perf_counter()
    for _ in range(batches):
        next(state["batches"])
    return {"seconds": [(time.perf_counter() - begin) / (batches * state["batch"])]}


def describe(**_):
    import PIL
    import torchvision

    return {"torchvision": torchvision.__version__, "pillow": PIL.__version__}


commands = {"open": open_folder, "compare": compare, "load": load, "describe": describe}
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = commands[request.pop("command")](**request)
    except Exception as error:  # the runner says what failed
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
