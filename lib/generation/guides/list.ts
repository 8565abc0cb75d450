/** What makes a guide of a model: a guide itself is any function that gives the gradient of a logarithm. */
import { guideByClassifier } from './classifier.js'
import { guideOnClean } from './on-clean.js'

export const guides = { classifier: guideByClassifier, clean: guideOnClean } as const
