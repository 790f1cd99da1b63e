// Measures the start-up time and memory that `import 'acme-cert-cache'` adds to an empty script.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median } from './measure.js'

const rounds = 15

export function benchImports() {
  const reportCode = `console.log(JSON.stringify({ ms: performance.now(), rss: process.memoryUsage.rss() }))`
  const run = (/** @type {string} */ code) => {
    const args = ['--input-type=module', '-e', `${code}; ${reportCode}`]
    const cwd = fileURLToPath(new URL('..', import.meta.url))
    return JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }))
  }
  // node:https is measured separately because every user of the package loads it anyway.
  const scripts = { empty: '', https: `import 'node:https'`, package: `import 'acme-cert-cache'` }
  /** @type {Record<string, { ms: number, rss: number }[]>} */
  const results = { empty: [], https: [], package: [] }
  for (let round = 0; round < rounds; round++) {
    for (const [name, code] of Object.entries(scripts)) results[name]?.push(run(code))
  }
  const overhead = (/** @type {string} */ name, /** @type {'ms' | 'rss'} */ metric) =>
    median(
      (results[name] ?? []).map(
        (result, round) => result[metric] - (results.empty?.[round]?.[metric] ?? Number.NaN),
      ),
    )
  console.log(`import 'acme-cert-cache', over an empty script, medians of ${rounds} pairs`)
  console.log(
    `  ${overhead('package', 'ms').toFixed(1)} ms (at most 25), ${(overhead('package', 'rss') / 2 ** 20).toFixed(1)} MiB (at most 8)`,
  )
  console.log(
    `  of which node:https alone: ${overhead('https', 'ms').toFixed(1)} ms, ${(overhead('https', 'rss') / 2 ** 20).toFixed(1)} MiB`,
  )
}
