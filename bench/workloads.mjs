// What is measured: networks as diffusers' UNet2DModel configures them, which our `unet-2d` computes to the last digits.

const sprites = {
  sample_size: 16,
  block_out_channels: [64, 128, 128],
  layers_per_block: 1,
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
  attention_head_dim: 64,
  num_class_embeds: 11,
}

const ddpm = {
  title: 'DDPM CIFAR-10, 35.7 M parameters, dropout 0.1',
  batch: 8,
  config: {
    sample_size: 32,
    block_out_channels: [128, 256, 256, 256],
    layers_per_block: 2,
    down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
    attention_head_dim: null,
    dropout: 0.1,
    flip_sin_to_cos: false,
    freq_shift: 1,
    norm_eps: 1e-6,
    downsample_padding: 0,
  },
}

/**
 * Name → title, diffusers' configuration, and images per step. `letter`: the workload whose name it goes by in tables;
 * `brief`: long steps, so few of them, and nothing but training in float32.
 */
export const workloads = {
  A: ddpm,
  A32: { ...ddpm, batch: 32, letter: 'A', brief: true },
  B: {
    title: '64, 128, 128 channels, attention at 16² in heads of 8 channels',
    batch: 16,
    config: {
      sample_size: 32,
      block_out_channels: [64, 128, 128],
      layers_per_block: 2,
      down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
      up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
      attention_head_dim: 8,
    },
  },
  C: { title: 'sprites 16², class-conditional, one block a level, heads of 64', batch: 64, config: sprites },
}
