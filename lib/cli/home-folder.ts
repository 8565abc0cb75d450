/** `--out=~/runs` and `--set data.folder=~/pictures`: shells replace `~` by the home folder only where a word begins with it. */
import { homedir } from 'node:os'

const flagOrOption = /^((?:--?[\w-]+=)?(?:[\w.-]+=)?)~(?=\/|$)/

/** Arguments with the home folder where a value begins with `~/` after an equals sign. `./~/x` is a folder of that name. */
export function withHomeFolder(argv: readonly string[], home: string = homedir()): string[] {
  return argv.map((argument) => {
    const before = flagOrOption.exec(argument)?.[1]
    return before ? `${before}${home}${argument.slice(before.length + 1)}` : argument
  })
}
