import { expect, test } from 'vitest'
import { bindingNames } from '../../lib/native/binding.js'
import { loadBinding } from '../../lib/native/load.js'

test('the addon exports the functions that TypeScript knows, and no others', () => {
  const exported = Object.entries(loadBinding())
  expect(exported.map(([name]) => name).sort()).toEqual([...bindingNames].sort())
  for (const [name, value] of exported) expect(value, name).toBeTypeOf('function')
})
