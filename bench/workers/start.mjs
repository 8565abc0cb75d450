// What a user waits for before the first number: import, then a native call that opens libtorch.
const started = performance.now()
const { Tensor } = await import('../../dist/bundle/index.js')
const tensor = Tensor.from(Float32Array.of(1, 1, 1, 1), [2, 2])
await tensor.data()
process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - started) / 1000 })}\n`)
