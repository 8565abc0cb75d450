/**
 * The file of code that a network runs, where it runs one that is not ours. A file of code is run only on the word of the caller:
 * one that a checkpoint, a run folder or a recipe file names is data's word, and needs `trust`.
 *
 * It is known by its SHA-256. A run keeps a copy of it in its folder, so that the folder may be moved.
 */
import { basename, dirname, join, resolve } from 'node:path'
import { DpmError, show } from '../errors.js'
import { writeAtomically } from '../files/atomic-write.js'
import { openRegularFile } from '../files/regular-file.js'
import { readAt } from '../files/zip-directory.js'
import { type NetworkSettings, networks } from './list.js'
import type { NetworkDefinition, ProgramFile, ProgramPart } from './network-definition.js'

const copyBytes = 1 << 20

function partOf({ kind }: NetworkSettings): ProgramPart<NetworkSettings> | undefined {
  const definition: NetworkDefinition<NetworkSettings> = networks[kind]
  return definition.program
}

/** Undefined for the networks that are made of our own layers alone. */
export function programOf(settings: NetworkSettings): ProgramFile | undefined {
  return partOf(settings)?.of(settings)
}

/** Whether options that a caller wrote name the file of code themselves: then it is the caller's choice. */
export function namesProgram(network: unknown): boolean {
  return typeof network === 'object' && network !== null && 'file' in network && network.file !== undefined
}

/**
 * @param source what named the network: a checkpoint, a run folder, a recipe file.
 * @throws DpmError DPM_NOT_TRUSTED where the network runs code that the caller has not allowed.
 */
export function requireTrust(settings: NetworkSettings, trust: unknown, source: string): void {
  const program = programOf(settings)
  if (program === undefined || trust === true) return
  throw new DpmError(
    'DPM_NOT_TRUSTED',
    `${show(source)} names the network "${settings.kind}", which runs the module ${show(program.file)}. A module is a program: ` +
      'it can read and write files. If you trust where both come from, allow it with `trust: true` (--trust-torch-script).',
    { details: { source, file: program.file, sha256: program.sha256 } },
  )
}

/** Where a run's own copy of its module may be, seen from a checkpoint: beside it, or a folder above. */
export function placesNear(checkpoint: string): readonly string[] {
  const folder = dirname(resolve(checkpoint))
  return [folder, dirname(folder)]
}

/** Whether a file of a run folder is the copy of its module, by its name. */
export function isProgramCopy(name: string): boolean {
  return /^module-[0-9a-f]{16}(\.[A-Za-z0-9]{1,8})?$/.test(name)
}

function copyName({ sha256, file }: ProgramFile): string {
  const ending = /\.[A-Za-z0-9]{1,8}$/.exec(basename(file))?.[0] ?? ''
  return `module-${sha256?.slice(0, 16)}${ending}`
}

/**
 * The same settings with the file of code as it was found and checked, its SHA-256 with it.
 * @param near folders that may hold a run's copy, which counts before the place that the settings name.
 * @throws DpmError DPM_FILE_MISSING, DPM_FILE_INVALID for a file that is no module, or not the one of the SHA-256.
 */
export async function readyNetwork(settings: NetworkSettings, near: readonly string[] = []): Promise<NetworkSettings> {
  const part = partOf(settings)
  if (!part) return settings
  const program = part.of(settings)
  const own = program.sha256 === null ? [] : near.map((folder) => join(folder, copyName(program)))
  const named = resolve(program.file)
  for (const file of new Set([...own, named])) {
    const sha256 = await part.check(file).catch((error: unknown) => {
      if (error instanceof DpmError && error.code === 'DPM_FILE_MISSING') return undefined
      throw error
    })
    if (sha256 === undefined) continue
    if (program.sha256 === null || sha256 === program.sha256) return part.at(settings, { file, sha256 })
    throw new DpmError(
      'DPM_FILE_INVALID',
      `Expected the module with SHA-256 ${program.sha256} in ${show(file)} but it has ${sha256}: it is another one, or was ` +
        'changed. Put the one that belongs to the model there.',
      { details: { file, expected: program.sha256, sha256 } },
    )
  }
  const also = own.length === 0 ? '' : `, nor is the model's own copy at ${own.map(show).join(' or ')}`
  throw new DpmError('DPM_FILE_MISSING', `There is no file ${named} for \`network.file\`${also}. ${part.cure}`, {
    details: { file: named, places: own },
  })
}

/** Settings with the SHA-256 of the network that was built from them; a new run's, also with the absolute path. */
export function withProgramOf(settings: NetworkSettings, built: NetworkSettings, isNew: boolean): NetworkSettings {
  const [part, program] = [partOf(settings), programOf(built)]
  if (!part || !program) return settings
  return part.at(settings, isNew ? program : { ...part.of(settings), sha256: program.sha256 })
}

/**
 * Copies the file of code of a network that is ready into a folder, unless it is there.
 * @throws DpmError DPM_WRITE_FAILED, DPM_FILE_MISSING, DPM_FILE_INVALID
 */
export async function carryProgram(ready: NetworkSettings, folder: string): Promise<string | undefined> {
  const program = programOf(ready)
  if (program === undefined || program.sha256 === null) return undefined
  const target = join(folder, copyName(program))
  if (target === program.file) return target
  await writeAtomically(target, contents(program))
  return target
}

async function* contents({ file, sha256 }: ProgramFile): AsyncGenerator<Uint8Array> {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256')
  const { file: handle, sizeBytes: size } = await openRegularFile(file, 'module')
  try {
    for (let at = 0; at < size; at += copyBytes) {
      const block = await readAt(handle, file, at, Math.min(copyBytes, size - at))
      hash.update(block)
      yield block
    }
  } finally {
    await handle.close()
  }
  if (hash.digest('hex') === sha256) return
  throw new DpmError('DPM_FILE_INVALID', `${show(file)} was changed while it was copied. Begin again.`)
}
