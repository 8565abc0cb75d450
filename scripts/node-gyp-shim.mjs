#!/usr/bin/env node
// prebuildify calls `node-gyp rebuild --target=… --release`; this answers in its place with a cmake-js build. The flags
// are of no matter: Node-API is the same in every Node, and what has not changed need not be compiled again.
import { buildAddon, compiled, main } from './build-addon.mjs'

await main(async () => {
  const { discoverLibtorch } = await compiled('libtorch/discover.js')
  await buildAddon(discoverLibtorch())
})
