/** The network sees nothing beside x. */
import * as z from 'zod'
import { defineCondition } from './condition.js'

export const none = defineCondition({
  name: 'none',
  options: z.strictObject({ kind: z.literal('none') }),
  create: () => undefined,
})
