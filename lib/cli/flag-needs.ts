/** Flags that act on what another flag gives: without it they would do nothing, and nobody would be told. */
import type { Command } from 'commander'
import { DpmError } from '../errors.js'

/** By command and flag the flags of which one must be given too. */
const needs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  sample: { strength: ['image'], classifierScale: ['classifier'], clean: ['gif'] },
  data: { count: ['out'], seed: ['out'] },
  bench: { top: ['profile'], shapes: ['profile'] },
}

/** By command and flag the flags that leave it nothing to act on. */
const excludes: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  sample: { guidanceRescale: ['weaker'] },
  explain: Object.fromEntries(['steps', 'spacing', 'guidance', 'inpaint', 'set'].map((flag) => [flag, ['file']])),
}

/** @throws DpmError DPM_INVALID_OPTION naming the flag and what it acts on. */
export function requireNeededFlags(command: Command): void {
  const isGiven = (flag: string): boolean => command.getOptionValueSource(flag) === 'cli'
  for (const [flag, others] of Object.entries(needs[command.name()] ?? {})) {
    if (!isGiven(flag) || others.some(isGiven)) continue
    const wanted = others.map(written).join(' or ')
    const message = `${written(flag)} acts on ${wanted}, which is not given. Give ${wanted}, or leave ${written(flag)} out.`
    throw new DpmError('DPM_INVALID_OPTION', message)
  }
  for (const [flag, others] of Object.entries(excludes[command.name()] ?? {})) {
    const other = isGiven(flag) ? others.find(isGiven) : undefined
    if (other === undefined) continue
    const message = `With ${written(other)} there is nothing that ${written(flag)} acts on. Leave one of them out.`
    throw new DpmError('DPM_INVALID_OPTION', message)
  }
}

function written(flag: string): string {
  return `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
