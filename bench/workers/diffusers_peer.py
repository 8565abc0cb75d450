"""The peer's side of a measurement: diffusers' UNet2DModel in PyTorch, told what to do a line of JSON at a time.

Its training step is what a user writes: forward, mean squared error, backward, gradient clipping, fused Adam, averaging
by foreach. The runner tries it in both memory layouts and counts the faster.
"""

import json
import os
import resource
import sys
import time

started = time.perf_counter()
import torch  # noqa: E402

first = torch.ones(2, 2) @ torch.ones(2, 2)
import_seconds = time.perf_counter() - started

names_folder = os.path.join(os.path.dirname(__file__), "..", "..", "test", "fixtures", "unet-2d")
sys.path.insert(0, names_folder)

state = {}


def build(config, batch, precision, threads, layout, **_):
    from diffusers import UNet2DModel

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = UNet2DModel(in_channels=3, out_channels=3, **config)
    last = layout == "channels-last"
    if last:
        model = model.to(memory_format=torch.channels_last)
    state.clear()
    state.update(model=model, batch=batch, precision=precision, last=last, config=config)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def placed(x):
    return x.contiguous(memory_format=torch.channels_last) if state["last"] else x.contiguous()


def labels():
    return torch.tensor([(n * 37) % 1000 for n in range(state["batch"])])


def classes():
    count = state["config"].get("num_class_embeds") or 0
    return torch.tensor([n % count for n in range(state["batch"])]) if count else None


def autocast():
    return torch.autocast("cpu", torch.bfloat16, enabled=state["precision"] == "bfloat16")


def take_weights(tensors):
    from diffusers_names import parameters_by_name

    with torch.no_grad():
        for name, parts in parameters_by_name(state["model"]).items():
            source = tensors[f"network.{name}"]
            rows = source.split([part.shape[0] for part in parts]) if len(parts) > 1 else [source]
            for part, values in zip(parts, rows):
                part.copy_(values.reshape(part.shape))
    state["model"].eval()


def load(path, **_):
    """Takes our weights, and says how far its output is from ours."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    take_weights(tensors)
    with torch.no_grad():
        state["x"] = placed(tensors["x"])
        with autocast():
            output = state["model"](state["x"], labels(), class_labels=classes()).sample.float()
    ours = tensors["output"]
    return {"difference": ((output - ours).abs().max() / ours.abs().max()).item()}


def train(steps, **_):
    model = state["model"].train()
    parameters = list(model.parameters())
    if "optimizer" not in state:
        state["optimizer"] = torch.optim.Adam(parameters, lr=1e-4, fused=True)
        state["average"] = [p.detach().clone() for p in parameters]
    times, kinds, x = labels(), classes(), state["x"]
    noise = torch.randn_like(x)
    seconds = []
    for _ in range(steps):
        begin = time.perf_counter()
        state["optimizer"].zero_grad(set_to_none=True)
        with autocast():
            output = model(x, times, class_labels=kinds).sample
        torch.nn.functional.mse_loss(output.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        state["optimizer"].step()
        with torch.no_grad():
            torch._foreach_lerp_(state["average"], [p.detach() for p in parameters], 0.001)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds}


def forward(times, **_):
    model = state["model"].eval()
    at, kinds = labels(), classes()
    seconds = []
    with torch.no_grad(), autocast():
        for _ in range(times):
            begin = time.perf_counter()
            model(state["x"], at, class_labels=kinds)
            seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds}


def convolution(times, **_):
    """The machine's measure: a 3×3 convolution, 128 → 128 channels at 32², 16 images, channels-last. GFLOP/s."""
    x = torch.randn(16, 128, 32, 32).contiguous(memory_format=torch.channels_last)
    w = torch.randn(128, 128, 3, 3).contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.no_grad():
        for _ in range(times):
            begin = time.perf_counter()
            torch.nn.functional.conv2d(x, w, padding=1)
            seconds.append(time.perf_counter() - begin)
    return {"gigaflops": sorted(2 * 16 * 32 * 32 * 128 * 128 * 9 / s / 1e9 for s in seconds)[len(seconds) // 2]}


def load_sampling(path, drawn, sampling, classes, **_):
    """Takes our weights and the noise of our run, runs its own, and says how far its images are from ours."""
    from diffusers import DPMSolverMultistepScheduler
    from safetensors.torch import load_file

    take_weights(load_file(path))
    tensors = load_file(drawn)
    null = state["config"]["num_class_embeds"] - 1
    kinds = torch.tensor(classes)
    state.update(
        sampling=sampling,
        noise=placed(tensors["noise"]),
        kinds=torch.cat([torch.full_like(kinds, null), kinds]),
        scheduler=DPMSolverMultistepScheduler(),
    )
    ours = tensors["output"]
    return {"difference": ((run_pipeline() - ours).abs().max() / ours.abs().max()).item()}


def run_pipeline():
    """What diffusers' pipelines do: both conditions in one batch, the scheduler's step behind it."""
    scheduler, guidance = state["scheduler"], state["sampling"]["guidance"]
    scheduler.set_timesteps(state["sampling"]["steps"])
    with torch.no_grad(), autocast():
        x = state["noise"] * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([x, x]), t)
            plain, given = state["model"](both, t, class_labels=state["kinds"]).sample.chunk(2)
            x = scheduler.step(plain + guidance * (given - plain), t, x, return_dict=False)[0]
    return x


def sample(times, **_):
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        images = run_pipeline()
        ((images / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds}


def describe(**_):
    import diffusers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__, "python": sys.version.split()[0]}


def memory(**_):
    return {"peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def flops(**_):
    """Of one forward pass over the batch, as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        state["model"](state["x"], labels(), class_labels=classes())
    return {"forward": counter.get_total_flops()}


def ready(**_):
    return {"seconds": import_seconds}


commands = {
    f.__name__: f for f in [build, load, load_sampling, sample, train, forward, convolution, describe, memory, flops, ready]
}


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = commands[request.pop("command")](**request)
        except Exception as error:  # the runner says what failed
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
