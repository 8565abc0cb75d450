/**
 * The copies of a network in a file: as trained, averaged (EMA), under whatever names a training program keeps them
 * (`state_dict`, `model`, `ema.ema_model`, `net_model`, …), and without the names of what was wrapped around the network. A copy is found by
 * the names of the network itself, so that what stands before them is free.
 *
 * References: torch.nn.DataParallel, torch.compile, torch.optim.swa_utils.AveragedModel, FSDP (names of wrappers); lucidrains/ema-pytorch
 * (`ema_model`, `online_model`); Lightning (`state_dict`); fadel/pytorch_ema (`shadow_params`); CompVis/latent-diffusion, ema.py (LitEma).
 */
import * as z from 'zod'
import { DpmError } from '../../errors.js'
import { type ArchiveValue, type TensorArchive, under, type Weights } from '../archives/tensor-archive.js'
import type { ImportSource } from './import-source.js'

/** How a network is told by its names. */
export interface NetworkNames {
  /** Ends the name of one tensor of every copy; what stands before is the copy's place. */
  readonly anchor: RegExp
  /** Whether these are the tensors of such a network. */
  isNetwork(weights: Weights): boolean
  /** Whether a copy at this place (`4.`, `ema.`) is averaged; by its words when absent. */
  isAveraged?(place: string): boolean
}

export interface Copies {
  /** Absent where the file has averaged weights only. */
  readonly trained?: Weights
  /** The one to sample with first. */
  readonly averages: readonly Weights[]
  /** Before the names of the first copy's tensors, without wrappers: `model.`; mostly empty. */
  readonly place: string
  /** All tensors of the file, without wrappers. */
  readonly tensors: Weights
  /** Updates that the weights have seen, where the file says it. */
  readonly step?: number
  /** What was not taken. */
  readonly notes: readonly string[]
}

/** The option of every importer of files. */
export const copyOption = {
  weights: z
    .string()
    .optional()
    .describe(
      'which weights, where a file holds several: what stands before their names, such as ema or state_dict.net; the trained and every averaged copy when absent',
    ),
} as const

interface Copy {
  readonly place: string
  readonly weights: Weights
}

/** Modules around a network, by the attribute that they keep it in. */
const wrappers: ReadonlySet<string> = new Set([
  'module',
  '_orig_mod',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
  '_forward_module',
])

/** More than any file of one network holds. */
const maximumCopies = 64

/** The tensors by their names without wrappers; as they are where two would then have one name. */
export function unwrapped(weights: Weights): Weights {
  const found = new Map(
    [...weights].map(([name, tensor]) => [
      name
        .split('.')
        .filter((part) => !wrappers.has(part))
        .join('.'),
      tensor,
    ]),
  )
  return found.size === weights.size ? found : weights
}

/** Any one of the copies, to look at; undefined where there is none. */
export function anyCopy(weights: Weights, names: NetworkNames): Weights | undefined {
  return copiesIn(unwrapped(weights), names)[0]?.weights
}

/** What recognises the files of an importer. */
export async function holdsCopy(source: ImportSource, names: NetworkNames): Promise<boolean> {
  return !source.isFolder && anyCopy((await source.archive()).tensors, names) !== undefined
}

/**
 * @param choice of the caller: the beginning of one copy's names.
 * @returns undefined where there is none.
 * @throws DpmError DPM_INVALID_OPTION naming all places, where several are as trained or the choice is none of them.
 */
export function findCopies(
  archive: Pick<TensorArchive, 'path' | 'tensors' | 'values'>,
  names: NetworkNames,
  choice?: string,
): Copies | undefined {
  const tensors = unwrapped(archive.tensors)
  const found = copiesIn(tensors, names)
  const [first] = found
  if (!first) return undefined
  const step = stepOf(archive.values)
  const rest = { tensors, ...(step === undefined ? {} : { step }) }
  if (choice !== undefined) {
    const { weights, place } = chosen(found, choice, archive.path)
    return { trained: weights, averages: [], place, ...rest, notes: [] }
  }
  const isAveraged = (copy: Copy): boolean =>
    (names.isAveraged ?? saysAveraged)(copy.place) || tensors.has(`${copy.place}n_averaged`)
  const averaged = found.filter(isAveraged)
  const others = found.filter((copy) => !isAveraged(copy))
  // An averaging keeps a copy of what it averages (`ema.online_model`), which is the trained one where there is no other.
  const outside = others.filter(({ place }) => !place.split('.').some((part) => saysAveraged(part)))
  const trained = outside.length > 0 ? outside : others
  if (trained.length > 1) throw several(trained, averaged, archive.path)
  const [network] = trained
  const unnamed = network ? unnamedAverage(tensors, network) : undefined
  const averages = [...averaged.map(({ weights }) => weights), ...(unnamed ? [unnamed.weights] : [])]
  return {
    ...(network ? { trained: network.weights } : {}),
    averages,
    place: (network ?? first).place,
    ...rest,
    notes: leftAside(tensors, [...found.map(({ place }) => place), ...(unnamed ? [unnamed.place] : [])]),
  }
}

function copiesIn(tensors: Weights, { anchor, isNetwork }: NetworkNames): Copy[] {
  const places = new Set<string>()
  for (const name of tensors.keys()) {
    const at = name.search(anchor)
    if (at >= 0) places.add(name[at] === '.' ? name.slice(0, at + 1) : name.slice(0, at))
    if (places.size > maximumCopies) break
  }
  return [...places].flatMap((place) => {
    const inner = [...places].filter((other) => other !== place && other.startsWith(place))
    const all = [...under(tensors, place)]
    const own = all.filter(([name, { shape }]) => {
      return !isKept(name, shape) && !inner.some((other) => `${place}${name}`.startsWith(other))
    })
    const weights = new Map(own)
    return isNetwork(weights) ? [{ place, weights }] : []
  })
}

/** What modules keep beside their weights: counters, and the numbers of a noise schedule, which settings say. */
const kept =
  /(?:^|\.)(?:num_batches_tracked|total_ops|total_params|_extra_state)$|^(?:n_averaged|initted|step|num_updates|decay|betas|alphas|alphas_\w+|sqrt_\w+|log_one_minus_\w+|posterior_\w+|loss_weight|p2_loss_weight|lvlb_weights|logvar|snr|timesteps|num_timesteps)$/

function isKept(name: string, shape: readonly number[]): boolean {
  return shape.length <= 1 && kept.test(name)
}

/** By the innermost word of the place that says anything about it. */
export function saysAveraged(place: string): boolean {
  for (const part of place.split('.').reverse()) {
    if (/(?:^|_)(?:online|student|raw)(?:_|$)/i.test(part)) return false
    if (/(?:^|_)(?:g?ema|swa|averaged?|avg|shadow|polyak)(?:_|\d|$)/i.test(part)) return true
  }
  return false
}

function chosen(found: readonly Copy[], choice: string, path: string): Copy {
  const wanted = choice.replace(/\.+$/, '')
  const exact = found.filter(({ place }) => place === '' || place === `${wanted}.`)
  const fitting =
    exact.length === 1 && exact[0]?.place !== '' ? exact : found.filter(({ place }) => place.startsWith(`${wanted}.`))
  const [copy] = fitting
  if (copy && fitting.length === 1) return copy
  throw new DpmError(
    'DPM_INVALID_OPTION',
    `Expected one of ${placesText(found)} for \`weights\` but received ${JSON.stringify(choice)}: the copies of the network in ${JSON.stringify(path)}.`,
    { details: { path, places: found.map(({ place }) => place.slice(0, -1)) } },
  )
}

function several(trained: readonly Copy[], averaged: readonly Copy[], path: string): DpmError {
  const places = [...trained, ...averaged]
  return new DpmError(
    'DPM_INVALID_OPTION',
    `${JSON.stringify(path)} holds ${places.length} networks of this kind: ${placesText(places)}. Say which with \`--set weights=…\`.`,
    { details: { path, options: ['weights'], places: places.map(({ place }) => place.slice(0, -1)) } },
  )
}

function placesText(copies: readonly Copy[]): string {
  return copies.map(({ place }) => (place === '' ? '(no name before them)' : place.slice(0, -1))).join(', ')
}

/** Two ways of averaging that do not keep the names: a list in the order of the parameters, and names without their dots. */
function unnamedAverage(tensors: Weights, network: Copy): Copy | undefined {
  const [, place] = [...tensors.keys()].map((name) => /^((?:.*\.)?shadow_params\.)0$/.exec(name)).find(Boolean) ?? []
  if (place !== undefined) return listedAverage(under(tensors, place), place, network)
  return undottedAverage(tensors, network)
}

/** Running statistics of a norm are no parameters: of these no average is kept. */
const isStatistic = (name: string): boolean => /(?:^|\.)running_(?:mean|var)$/.test(name)

function listedAverage(shadows: Weights, place: string, { weights }: Copy): Copy | undefined {
  const names = [...weights.keys()].filter((name) => !isStatistic(name))
  if (shadows.size !== names.length) return undefined
  const averaged = new Map(weights)
  for (const [index, name] of names.entries()) {
    const shadow = shadows.get(String(index))
    if (shadow?.shape.join() !== weights.get(name)?.shape.join() || !shadow) return undefined
    averaged.set(name, shadow)
  }
  return { place, weights: averaged }
}

function undottedAverage(tensors: Weights, { place, weights }: Copy): Copy | undefined {
  const [, ema] = [...tensors.keys()].map((name) => /^((?:.*\.)?(?:\w*_)?ema\.)[^.]+$/.exec(name)).find(Boolean) ?? []
  if (ema === undefined) return undefined
  const parts = place.split('.').filter((part) => part !== '')
  // Which of the modules around the network was averaged is not said.
  for (let count = 0; count <= parts.length; count++) {
    const before = parts.slice(parts.length - count).join('')
    const averaged = [...weights.keys()].flatMap((name) => {
      const tensor = tensors.get(`${ema}${before}${name.replaceAll('.', '')}`)
      return tensor ? [[name, tensor] as const] : []
    })
    if (averaged.length === weights.size) return { place: ema, weights: new Map(averaged) }
  }
  return undefined
}

/** So many groups of what was left aside are named. */
const namedGroups = 6

function leftAside(tensors: Weights, places: readonly string[]): string[] {
  if (places.includes('')) return []
  const groups = new Map<string, number>()
  for (const [name, { shape }] of tensors) {
    if (places.some((place) => name.startsWith(place))) continue
    const last = name.slice(name.lastIndexOf('.') + 1)
    if (isKept(last, shape)) continue
    const group = name.split('.', 1)[0] ?? name
    groups.set(group, (groups.get(group) ?? 0) + 1)
  }
  if (groups.size === 0) return []
  const named = [...groups].slice(0, namedGroups).map(([group, count]) => `${group} (${count} tensors)`)
  return [`Left aside: ${named.join(', ')}${groups.size > namedGroups ? ', …' : ''}.`]
}

const stepNames = ['step', 'global_step', 'steps', 'iteration', 'iterations', 'iter', 'train_steps', 'num_updates']

function stepOf(values: ReadonlyMap<string, ArchiveValue>): number | undefined {
  for (const name of stepNames) {
    const value = values.get(name)
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  }
  return undefined
}
