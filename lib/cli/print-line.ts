/** Standard output: the one way there, so that no text from a file steers the terminal. */
import { printableLines } from '../show.js'

/** Prints a line, or several. Names and paths come from elsewhere: their control characters are shown, not sent. */
export function printLine(text = ''): void {
  console.log(printableLines(text))
}
