/** dpm-torch: train, sample and evaluate diffusion probabilistic models from Node.js, on libtorch. */

// How fast, and where the time goes.
export {
  type Benchmark,
  type BenchmarkOptions,
  type BenchmarkProgress,
  type BenchmarkWork,
  benchmark,
  type Measurement,
} from './benchmark/benchmark.js'
export type { MachineSpeed } from './benchmark/machine-speed.js'
export type { Profile, ProfiledOperation } from './benchmark/roofline.js'
// What there is, and what it runs on.
export { catalog } from './catalog.js'
// Data.
export type { Columns, CorruptExample, DataSet, PassedOver } from './datasets/data-set.js'
export { type DataOptions, datasets, openDataSet } from './datasets/list.js'
// The algebra in numbers: a process's levels, and one prediction in terms of another.
export { conversion } from './diffusion/conversion.js'
export {
  createProcess,
  type DiffusionOptions,
  type DiffusionProcess,
  parseDiffusion,
} from './diffusion/diffusion-options.js'
export type { GuidanceOptions } from './diffusion/guidance/list.js'
// How likely data is, in bits per dimension.
export type { LikelihoodDenoiser } from './diffusion/likelihood/likelihood-denoiser.js'
export type { Level, Schedule } from './diffusion/schedule.js'
export { DpmError, type DpmErrorCode, errorCodes } from './errors.js'
export {
  evaluateLikelihood,
  type LikelihoodOptions,
  type LikelihoodProgress,
  type LikelihoodResult,
} from './evaluation/likelihood.js'
export type { LikelihoodModel } from './evaluation/likelihood-method.js'
export { type LikelihoodModelOptions, likelihoodModel } from './evaluation/likelihood-model.js'

// Draw from what was trained.
export {
  type BatchProgress,
  Diffusion,
  type SampleBatch,
  type SampleBatchesOptions,
  type SampleProgress,
  type SampleStep,
  type VectorBatch,
} from './generation/diffusion.js'
export type { GenerateGuide, GenerateOptions } from './generation/generate.js'
export { type Classifier, type ClassifierPass, guideByClassifier } from './generation/guides/classifier.js'
export { guideOnClean } from './generation/guides/on-clean.js'
export type { LoadOptions } from './generation/load-model.js'
export { NoisyClassifier } from './generation/noisy-classifier.js'
export type { Guide, GuideLevel } from './generation/program-run.js'
export { Vectors } from './generation/vectors.js'
export { writeAnimation } from './images/animation.js'
export { ImageGrid } from './images/grid.js'
export { Images } from './images/image-batch.js'
export type { DType } from './native/binding.js'
export { configure } from './native/load.js'
export { memory } from './native/memory.js'
// Networks and tensors.
export type { ContextUnetOptions, ContextUnetSettings } from './networks/context-unet.js'
export type { DitOptions, DitSettings } from './networks/dit.js'
export type { Edm2UnetOptions, Edm2UnetSettings } from './networks/edm2-unet.js'
export type { EncoderUnetOptions, EncoderUnetSettings } from './networks/encoder-unet.js'
export type { LinearAttentionUnetOptions, LinearAttentionUnetSettings } from './networks/linear-attention-unet.js'
export type { MlpOptions, MlpSettings } from './networks/mlp.js'
export type { ModifiedDdpOptions, ModifiedDdpSettings } from './networks/modified-ddp.js'
export { type Gradients, Network, type Parameter, Pass } from './networks/network.js'
export type { RefinenetOptions, RefinenetSettings } from './networks/refinenet.js'
export type { SongUnetOptions, SongUnetSettings } from './networks/song-unet.js'
export type { TorchScriptOptions, TorchScriptSettings } from './networks/torch-script.js'
export type { UVitOptions, UVitSettings } from './networks/u-vit.js'
export type { UnetOptions, UnetSettings } from './networks/unet.js'
export { defineSampler } from './sampling/define-sampler.js'
export { explainProgram } from './sampling/explain-program.js'
export type { Program } from './sampling/program.js'
export { programFromJson, programToJson } from './sampling/program-json.js'
// Any denoiser, any sampler, no addon.
export { type Denoiser, type SampleOptions, type SampleResult, sample, sampleSteps } from './sampling/sample.js'
export type { SamplerOptions } from './sampling/samplers.js'
export type { SpacingOptions } from './sampling/spacings/list.js'
export { Tensor } from './tensor/tensor.js'
export { formatDuration, progressLine } from './training/progress.js'
export { readRecipe, recipeNames, resolveRecipe } from './training/recipes.js'
export {
  type ReconstructedAverage,
  type ReconstructOptions,
  reconstructAverage,
} from './training/reconstruct-average.js'
export { type RunOptions, type RunSettings, runOptions } from './training/run-options.js'
// Train.
export type { Cure, StoppedRun } from './training/stopped-run.js'
export type { TrainStep } from './training/train-step.js'
export { Trainer } from './training/trainer.js'
export type { TrainerOptions, TrainerPlace } from './training/trainer-options.js'
