// What `import 'acme-cert-cache'` adds to an empty script.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median } from './measure.js'

const rounds = 15

/** Measures imports over an empty script, in new processes: medians of pairs. */
export function measureImports() {
  const report = `console.log(JSON.stringify({ ms: performance.now(), rss: process.memoryUsage.rss() }))`
  const run = (/** @type {string} */ code) => {
    const args = ['--input-type=module', '-e', `${code}; ${report}`]
    const cwd = fileURLToPath(new URL('..', import.meta.url))
    return JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }))
  }
  // Every user of the package loads https anyway; it is reported apart.
  const scripts = { https: `import 'node:https'`, package: `import 'acme-cert-cache'` }
  /** @type {Record<keyof typeof scripts, { ms: number, rss: number }[]>} */
  const added = { https: [], package: [] }
  for (let round = 0; round < rounds; round++) {
    const empty = run('')
    for (const name of /** @type {(keyof typeof scripts)[]} */ (Object.keys(scripts))) {
      const { ms, rss } = run(scripts[name])
      added[name].push({ ms: ms - empty.ms, rss: rss - empty.rss })
    }
  }
  const medians = (/** @type {keyof typeof scripts} */ name) => ({
    ms: median(added[name].map(({ ms }) => ms)),
    mebibytes: median(added[name].map(({ rss }) => rss)) / 2 ** 20,
  })
  return { https: medians('https'), package: medians('package') }
}

export function benchImports() {
  const added = measureImports()
  console.log(`import 'acme-cert-cache', over an empty script, medians of ${rounds} pairs`)
  console.log(
    `  ${added.package.ms.toFixed(1)} ms (at most 25), ${added.package.mebibytes.toFixed(1)} MiB (at most 8)`,
  )
  console.log(
    `  of which node:https alone: ${added.https.ms.toFixed(1)} ms, ${added.https.mebibytes.toFixed(1)} MiB`,
  )
}
