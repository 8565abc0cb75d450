/** Twelve digits that no other file of the same name has. Of the global `crypto`: the module costs an import 3 ms. */
export function randomName(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString('hex')
}
