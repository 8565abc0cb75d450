"""The peer of a large network: guided-diffusion's U-Net of ImageNet-64 in the place of diffusers'. Argument: its check-out.

Of https://github.com/openai/guided-diffusion, commit 22e0df8183507e13a7813f8d38d51b072ca1e67c. The flags are those of
its 64x64_diffusion.pt but for learned variances, which would be three further channels of the last layer.
"""

import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])

import diffusers_peer as peer  # noqa: E402
import torch  # noqa: E402
from guided_diffusion.unet import UNetModel  # noqa: E402


class Named(torch.nn.Module):
    """Called as diffusers' networks are."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, times, class_labels=None):
        return SimpleNamespace(sample=self.network(x, times, class_labels))


def build(batch, precision, threads, layout, path=None, **_):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    size = 64
    network = UNetModel(
        image_size=size,
        in_channels=3,
        model_channels=192,
        out_channels=3,
        num_res_blocks=3,
        attention_resolutions=[size // resolution for resolution in (32, 16, 8)],
        dropout=0.1,
        channel_mult=(1, 2, 3, 4),
        num_classes=1000,
        num_head_channels=64,
        use_scale_shift_norm=True,
        resblock_updown=True,
        use_new_attention_order=True,
    )
    with torch.no_grad():
        for parameter in network.parameters():
            # A layer that starts at nothing would hide what is before it from the comparison.
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(0, 0.02)
    if path:
        torch.save(network.state_dict(), path)
    model = Named(network)
    last = layout == "channels-last"
    if last:
        model = model.to(memory_format=torch.channels_last)
    config = {"num_class_embeds": 1000}
    peer.state.clear()
    peer.state.update(model=model, batch=batch, precision=precision, last=last, config=config)
    return {"parameters": sum(p.numel() for p in model.parameters())}


def load(path, **_):
    """Both have the same weights already: how far the outputs are from each other."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    peer.state["x"] = peer.placed(tensors["x"])
    with torch.no_grad():
        model = peer.state["model"].eval()
        output = model(peer.state["x"], peer.labels(), class_labels=peer.classes()).sample
    ours = tensors["output"]
    return {"difference": ((output - ours).abs().max() / ours.abs().max()).item()}


peer.commands.update(build=build, load=load)
peer.serve()
