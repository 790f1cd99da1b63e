// Runs the checks: node .ci/run.js [--group NAME]… [--nightly]. Two at a time, as there are two cores; ends with
// "N passed, N failed", and with status 1 if one failed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { checks } from './checks.js'

const { values: options } = parseArgs({
  options: { group: { type: 'string', multiple: true }, nightly: { type: 'boolean', default: false } },
})
const all = checks.filter(({ isOnlyInWorkflow }) => options.group || !isOnlyInWorkflow)
const groups = options.group ?? [...new Set(all.map(({ group }) => group))]
const unknown = groups.filter((name) => !checks.some(({ group }) => group === name))
if (unknown.length > 0) throw new Error(`unknown group: ${unknown.join(', ')}. See .ci/checks.js`)

/** A check that takes longer hangs. The jobs of the workflow may take longer, so that they print what it did. */
const maxSeconds = options.nightly ? 6_600 : 1_500
const slots = 2

/** @typedef {import('./checks.js').Check} Check */

/** @type {Map<string, boolean>} */
const outcomes = new Map()
/** The last lines of each check that failed, by claim. @type {Map<string, string>} */
const reasons = new Map()
/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set()
const started = performance.now()
const secondsSince = (/** @type {number} */ time) => Math.round((performance.now() - time) / 1_000)

process.once('exit', () => {
  for (const child of children) kill(child)
})
for (const signal of /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGTERM'])) {
  process.once(signal, () => process.exit(1))
}

await runCheck({ group: '', claim: 'the lock file installs', run: 'npm ci --no-audit --no-fund' })
await runCheck({ group: '', claim: 'the package builds', run: 'npm run --silent build' })
if ([...outcomes.values()].every(Boolean)) {
  await runAll(all.filter(({ group }) => groups.includes(group)))
}

const failed = [...outcomes].filter(([, passed]) => !passed).map(([claim]) => claim)
for (const claim of failed) console.log(`FAILED: ${claim}\n${reasons.get(claim) ?? ''}\n`)
console.log(`\nin ${secondsSince(started)} s`)
console.log(`${outcomes.size - failed.length} passed, ${failed.length} failed`)
// Not process.exit(), which drops what a pipe has not taken yet.
process.exitCode = failed.length === 0 ? 0 : 1

/** Starts the checks in their order, except that one which waits for another lets the next go ahead. */
async function runAll(/** @type {readonly Check[]} */ list) {
  const waiting = [...list]
  const ids = new Map(list.map(({ id, claim }) => [id, claim]))
  /** @type {Map<Check, Promise<void>>} */
  const running = new Map()
  const used = () => [...running.keys()].reduce((sum, { alone }) => sum + (alone ? slots : 1), 0)
  const isBlocked = (/** @type {Check} */ { after }) =>
    after !== undefined && !outcomes.has(ids.get(after) ?? '')
  while (waiting.length > 0 || running.size > 0) {
    const next = waiting.find((check) => !isBlocked(check))
    if (next && used() + (next.alone ? slots : 1) <= slots) {
      waiting.splice(waiting.indexOf(next), 1)
      const done = runCheck(next, outcomes.get(ids.get(next.after) ?? '') ?? true)
      running.set(
        next,
        done.finally(() => running.delete(next)),
      )
    } else {
      await Promise.race(running.values())
    }
  }
}

/** Runs one check, and prints its output when it has ended. */
async function runCheck(/** @type {Check} */ { claim, run, nightly }, isReady = true) {
  const begun = performance.now()
  console.log(`=== ${claim}`)
  if (!isReady) {
    outcomes.set(claim, false)
    return console.log(`--- FAILED: ${claim}: not run, as the check it needs failed`)
  }
  const env = { ...process.env, NO_COLOR: '1', ...(options.nightly && nightly) }
  const child = spawn('bash', ['-c', run], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const output = collect(child)
  const timer = setTimeout(() => {
    console.log(`--- ${claim}: ended after ${maxSeconds} s`)
    kill(child)
  }, maxSeconds * 1_000)
  const closed = once(child, 'close').then(() => true)
  const [code] = await once(child, 'exit')
  clearTimeout(timer)
  // A process that the check left running holds its output open.
  const isClosed = await Promise.race([closed, sleep(5_000, false, { ref: false })])
  kill(child)
  if (!isClosed) {
    console.log(`--- ${claim}: left processes running`)
    child.stdout.destroy()
    child.stderr.destroy()
  }
  children.delete(child)
  const passed = code === 0 && isClosed
  outcomes.set(claim, passed)
  const text = output()
  if (!passed) reasons.set(claim, lastLines(text, 20))
  console.log(`\n$ ${run}\n${passed ? lastLines(text, 12) : text}`)
  console.log(`--- ${passed ? 'passed' : 'FAILED'} after ${secondsSince(begun)} s: ${claim}\n`)
}

function collect(/** @type {import('node:child_process').ChildProcess} */ child) {
  /** @type {Buffer[]} */
  const chunks = []
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString().trimEnd()
}

function lastLines(/** @type {string} */ text, /** @type {number} */ count) {
  return text.split('\n').slice(-count).join('\n')
}

/** Ends a check with all the processes it started. */
function kill(/** @type {import('node:child_process').ChildProcess} */ { pid }) {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
