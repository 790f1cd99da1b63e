// What `import 'acme-cert-cache'` adds to an empty script.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { median } from './measure.js'

const rounds = 15

/**
 * Measures imports over an empty script, in new processes: medians of pairs. `heap` is what lives after a garbage
 * collection, the same in every folder. `rss`, the resident set, also depends on the path of the project's folder: with
 * Node 20.20 one import takes 7 MiB in a folder of 12 characters and 11 MiB in one of 13.
 */
export function measureImports() {
  const report = `
    const ms = performance.now()
    const rss = process.memoryUsage.rss()
    const [v8, vm] = [process.getBuiltinModule('node:v8'), process.getBuiltinModule('node:vm')]
    // A flag of the command line would invalidate Node's code cache, and double the time.
    v8.setFlagsFromString('--expose-gc')
    vm.runInNewContext('gc')()
    const { heapUsed, external } = process.memoryUsage()
    console.log(JSON.stringify({ ms, rss, heap: heapUsed + external }))`
  const run = (/** @type {string} */ code) => {
    const args = ['--input-type=module', '-e', `${code}; ${report}`]
    const cwd = fileURLToPath(new URL('..', import.meta.url))
    return JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }))
  }
  // Every user of the package loads https anyway; it is reported apart.
  const scripts = { https: `import 'node:https'`, package: `import 'acme-cert-cache'` }
  /** @typedef {{ ms: number, rss: number, heap: number }} Cost */
  /** @type {Record<keyof typeof scripts, Cost[]>} */
  const added = { https: [], package: [] }
  for (let round = 0; round < rounds; round++) {
    const empty = run('')
    for (const name of /** @type {(keyof typeof scripts)[]} */ (Object.keys(scripts))) {
      const { ms, rss, heap } = run(scripts[name])
      added[name].push({ ms: ms - empty.ms, rss: rss - empty.rss, heap: heap - empty.heap })
    }
  }
  const medians = (/** @type {keyof typeof scripts} */ name) => ({
    ms: median(added[name].map(({ ms }) => ms)),
    rssMiB: median(added[name].map(({ rss }) => rss)) / 2 ** 20,
    heapMiB: median(added[name].map(({ heap }) => heap)) / 2 ** 20,
  })
  return { https: medians('https'), package: medians('package') }
}

export function benchImports() {
  const added = measureImports()
  console.log(`import 'acme-cert-cache', over an empty script, medians of ${rounds} pairs`)
  const print = (/** @type {string} */ name, /** @type {typeof added.https} */ { ms, rssMiB, heapMiB }) =>
    console.log(
      `  ${name}: ${ms.toFixed(1)} ms, RSS ${rssMiB.toFixed(1)} MiB, heap ${heapMiB.toFixed(1)} MiB`,
    )
  print('all (at most 25 ms and, in a folder with a short path, 8 MiB of RSS)', added.package)
  print('of which node:https alone', added.https)
}
