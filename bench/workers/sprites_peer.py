"""The peer of bench/sprites.mjs: a class-conditional UNet2DModel of 4.4 M parameters learns the noise of 500 times.

Reads `images.u8` (N×3×16×16) and `labels.u8` from a folder, trains, draws every class by DDPM's 500 steps with guidance,
and writes `peer.u8`. Every epoch and every tenth of the drawing is a line of JSON.
"""

import argparse
import copy
import json
import time

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel

options = argparse.ArgumentParser()
options.add_argument("folder")
options.add_argument("--config", type=json.loads, required=True)
options.add_argument("--classes", type=int, required=True)
options.add_argument("--epochs", type=int, default=32)
options.add_argument("--batch", type=int, default=64)
options.add_argument("--columns", type=int, default=10)
options.add_argument("--guidance", type=float, default=2)
options.add_argument("--threads", type=int, default=2)
given = options.parse_args()

torch.set_num_threads(given.threads)
torch.manual_seed(0)
pixels = np.fromfile(f"{given.folder}/images.u8", np.uint8).reshape(-1, 3, 16, 16)
images = torch.from_numpy(pixels).float() / 127.5 - 1
labels = torch.from_numpy(np.fromfile(f"{given.folder}/labels.u8", np.uint8).astype(np.int64))

model = UNet2DModel(in_channels=3, out_channels=3, **given.config).to(memory_format=torch.channels_last)
scheduler = DDPMScheduler(500, beta_start=1e-4, beta_end=0.02, clip_sample=True)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
steps_per_epoch = len(images) // given.batch
total = given.epochs * steps_per_epoch
# A warm-up and a straight line to nothing; averaged weights: the fair set-up, since ours has both.
rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1, (n + 1) / 100) * (1 - n / total))
average = copy.deepcopy(model).eval()

began = time.perf_counter()
step = 0
for epoch in range(given.epochs):
    order = torch.randperm(len(images))
    losses = []
    for chosen in order[: steps_per_epoch * given.batch].split(given.batch):
        x = images[chosen].contiguous(memory_format=torch.channels_last)
        kinds = torch.where(torch.rand(given.batch) < 0.1, given.classes, labels[chosen])
        noise, at = torch.randn_like(x), torch.randint(500, (given.batch,))
        output = model(scheduler.add_noise(x, noise, at), at, class_labels=kinds).sample
        loss = torch.nn.functional.mse_loss(output, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        rate.step()
        step += 1
        with torch.no_grad():
            decay = min(0.998, (1 + step) / (10 + step))
            kept, new = list(average.parameters()), [p.detach() for p in model.parameters()]
            torch._foreach_lerp_([p.detach() for p in kept], new, 1 - decay)
        losses.append(loss.item())
    seconds = time.perf_counter() - began
    print(json.dumps({"epoch": epoch + 1, "loss": sum(losses) / len(losses), "seconds": seconds}), flush=True)

kinds = torch.arange(given.classes).repeat_interleave(given.columns)
x = torch.randn(len(kinds), 3, 16, 16).contiguous(memory_format=torch.channels_last)
scheduler.set_timesteps(500)
with torch.no_grad():
    for n, at in enumerate(scheduler.timesteps):
        both = torch.cat([torch.full_like(kinds, given.classes), kinds])
        free, told = average(torch.cat([x, x]), at, class_labels=both).sample.chunk(2)
        x = scheduler.step(free + given.guidance * (told - free), at, x).prev_sample
        if n % 50 == 49:
            print(json.dumps({"drawn": (n + 1) / 500}), flush=True)
drawn = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
drawn.contiguous().numpy().tofile(f"{given.folder}/peer.u8")
