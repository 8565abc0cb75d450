// Any denoiser, any sampler, no addon: points on a ring of eight Gaussians, whose best denoiser is a formula.
//
//   node examples/javascript-denoiser.mjs
import { sample } from 'dpm-torch'

const deviation = 0.05
const centres = Array.from({ length: 8 }, (_, k) => [Math.cos((k * Math.PI) / 4), Math.sin((k * Math.PI) / 4)])

// E[clean | x], where x = alpha · clean + sigma · noise: each Gaussian's own answer, weighted by how likely it made x.
function denoiser(x, { alpha, sigma }) {
  const variance = alpha ** 2 * deviation ** 2 + sigma ** 2
  const clean = new Float64Array(x.length)
  for (let point = 0; point < x.length; point += 2) {
    const [px, py] = [x[point], x[point + 1]]
    const distances = centres.map(([cx, cy]) => ((px - alpha * cx) ** 2 + (py - alpha * cy) ** 2) / (2 * variance))
    const nearest = Math.min(...distances)
    const weights = distances.map((distance) => Math.exp(nearest - distance))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    centres.forEach(([cx, cy], k) => {
      const gain = (alpha * deviation ** 2) / variance
      clean[point] += (weights[k] / total) * (cx + gain * (px - alpha * cx))
      clean[point + 1] += (weights[k] / total) * (cy + gain * (py - alpha * cy))
    })
  }
  return clean
}

const points = 2000
const { data, evaluations } = await sample({ denoiser, shape: [points, 2], sampler: 'ddpm', steps: 250, seed: 0 })

const counts = centres.map(() => 0)
for (let point = 0; point < data.length; point += 2) {
  const angle = Math.atan2(data[point + 1], data[point])
  counts[(Math.round(angle / (Math.PI / 4)) + 8) % 8] += 1
}
console.log(
  `${points} points in ${evaluations} calls of the denoiser; at each of the eight Gaussians:`,
  counts.join(' '),
)
