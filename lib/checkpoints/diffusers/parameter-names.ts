/**
 * The names that diffusers' `UNet2DModel` has for the parameters of `unet-2d` and of `unet`, which differ only in where they
 * count from and in q, k and v: three tensors there, one behind the other in one of ours.
 */
import { DpmError } from '../../errors.js'

const outside: readonly (readonly [RegExp, string])[] = [
  [/^input\./, 'conv_in.'],
  [/^time\.projection\./, 'time_proj.'],
  [/^time\.in\./, 'time_embedding.linear_1.'],
  [/^time\.out\./, 'time_embedding.linear_2.'],
  [/^classes\.in\./, 'class_embedding.linear_1.'],
  [/^classes\.out\./, 'class_embedding.linear_2.'],
  [/^classes\./, 'class_embedding.'],
  [/^output\.norm\./, 'conv_norm_out.'],
  [/^output\.conv\./, 'conv_out.'],
]

const residual: Readonly<Record<string, string>> = { time: 'time_emb_proj', shortcut: 'conv_shortcut' }
const attention: Readonly<Record<string, string>> = { norm: 'group_norm', qkv: 'to_q,to_k,to_v', out: 'to_out.0' }
const adaptive: Readonly<Record<string, string>> = { self: 'attn1', cross: 'attn2', text: 'norm_cross' }

/** Before diffusers 0.13, and still in many of the published files. */
const former: Readonly<Record<string, string>> = {
  to_q: 'query',
  to_k: 'key',
  to_v: 'value',
  'to_out.0': 'proj_attn',
}

/**
 * @param parameter a parameter of ours
 * @param levels the network's, because the way up is counted from below there
 * @returns the tensors of theirs whose rows, one behind the other, are ours
 */
export function diffusersNames(parameter: string, levels: number): readonly string[] {
  for (const [ours, theirs] of outside) if (ours.test(parameter)) return [parameter.replace(ours, theirs)]
  const middle = /^middle\.(block1|attention|block2)\.(.+)$/.exec(parameter)
  if (middle) {
    const [, which = '', rest = ''] = middle
    if (which === 'attention') return ofAttention('mid_block.attentions.0', rest)
    return [`mid_block.resnets.${which === 'block1' ? 0 : 1}.${ofResidual(rest)}`]
  }
  const [, way, level, kind = '', rest = ''] = /^(down|up)\.(\d+)\.([a-z]+)\.(.+)$/.exec(parameter) ?? []
  if (level === undefined) throw unknown(parameter)
  const isDown = way === 'down'
  const block = isDown ? `down_blocks.${level}` : `up_blocks.${levels - 1 - Number(level)}`
  const [, index = '', inner = ''] = /^(\d+)\.(.+)$/.exec(rest) ?? []
  if (kind === 'blocks') return [`${block}.resnets.${index}.${ofResidual(inner)}`]
  if (kind === 'attentions') return ofAttention(`${block}.attentions.${index}`, inner)
  const single: Readonly<Record<string, string>> = {
    resample: `${isDown ? 'downsamplers' : 'upsamplers'}.0.${/^(weight|bias)$/.test(rest) ? 'conv.' : ''}${ofResidual(rest)}`,
    halving: `resnet_down.${ofResidual(rest)}`,
    doubling: `resnet_up.${ofResidual(rest)}`,
    picture: isDown ? `skip_conv.${rest}` : `skip_${rest}`,
  }
  const found = single[kind]
  if (found === undefined) throw unknown(parameter)
  return [`${block}.${found}`]
}

/** The name that a tensor had in earlier versions. */
export function formerName(name: string): string {
  return name
    .replace(/\.(to_q|to_k|to_v|to_out\.0)\./, (_, part: string) => `.${former[part]}.`)
    .replace(/^time_proj\.weight$/, 'time_proj.W')
}

function ofResidual(rest: string): string {
  return rest.replace(/^\w+(?=\.)/, (part) => residual[part] ?? part)
}

/** `norm.weight`, `qkv.bias`, and of K blocks `self.qkv.weight`, `cross.text.bias`, `norm1.linear.weight`. */
function ofAttention(place: string, rest: string): string[] {
  const parts = rest.split('.').map((part) => adaptive[part] ?? attention[part] ?? part)
  const [heads = ''] = parts.filter((part) => part.includes(','))
  if (heads === '') return [`${place}.${parts.join('.')}`]
  return heads.split(',').map((head) => `${place}.${parts.map((part) => (part === heads ? head : part)).join('.')}`)
}

function unknown(parameter: string): DpmError {
  return new DpmError('DPM_INTERNAL', `diffusers' UNet2DModel has no name for ${parameter}.`)
}
