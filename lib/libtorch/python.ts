/**
 * How Python is called: so that nothing of the folder in which the user stands is run. `python3 -m pip` and `python3 -c` look for
 * modules there first, and a checkout of someone else's may hold a pip.py.
 *
 * The program is looked for in the absolute folders of PATH alone; it starts in an empty folder of ours, so that what is relative
 * in PYTHONPATH or in pip's settings leads nowhere; and PYTHONSAFEPATH keeps Python 3.11 and later from looking in it at all.
 */
import { accessSync, constants, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import type { Environment } from './cache.js'

/** Folders of a list such as PATH; empty and relative ones mean the working directory, and are left out. */
function absoluteFolders(list: string | undefined): string[] {
  return (list ?? '').split(':').filter((folder) => isAbsolute(folder))
}

/** The absolute path of a program; undefined where no absolute folder of PATH has it. */
export function findProgram(name: string, environment: Environment): string | undefined {
  return absoluteFolders(environment.PATH)
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return statSync(path).isFile()
      } catch {
        return false
      }
    })
}

/** The user's environment without what would make Python look in the working directory, or run a file at its start. */
export function pythonEnvironment(environment: Environment): Record<string, string> {
  const { PYTHONSTARTUP: _, PYTHONINSPECT: __, ...rest } = environment
  const kept = Object.fromEntries(
    Object.entries(rest).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
  const searched = absoluteFolders(kept['PYTHONPATH'])
  if (searched.length > 0) kept['PYTHONPATH'] = searched.join(':')
  else delete kept['PYTHONPATH']
  kept['PATH'] = absoluteFolders(kept['PATH']).join(':')
  kept['PYTHONSAFEPATH'] = '1'
  return kept
}

/** An empty folder that only this user can write to, to start a program in; `/` where none can be made. */
export class EmptyFolder implements Disposable {
  readonly path: string
  readonly #isOurs: boolean

  constructor() {
    let path: string | undefined
    try {
      // Its mode is 0700.
      path = mkdtempSync(join(resolve(tmpdir()), 'dpm-torch-empty-'))
    } catch {
      // A read-only or full disk must not keep Python from being asked.
    }
    this.path = path ?? '/'
    this.#isOurs = path !== undefined
  }

  [Symbol.dispose](): void {
    if (this.#isOurs) rmSync(this.path, { recursive: true, force: true })
  }
}
