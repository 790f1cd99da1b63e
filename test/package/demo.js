// Runs the demo once. Fails if one of its claims does not hold, or if the README shows other lines than it prints.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const root = join(import.meta.dirname, '../..')

/** Replaces what differs between two runs: times. */
const normalise = (/** @type {string} */ line) => line.replaceAll(/\d+\.\d ms/g, 'N ms').trim()

const demo = spawn('npm', ['run', '--silent', 'demo', '--', '--once'], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
})
const exited = once(demo, 'exit')
const output = await text(demo.stdout)
process.stdout.write(output)
const [status] = await exited

const [, excerpt] =
  /^```text\n(shop\.example\.com at .*?)^```/ms.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? []
if (!excerpt) throw new Error('README.md shows no output of the demo')
// In their order, since the README tells a story.
const printed = output.split('\n').map(normalise)
let position = -1
for (const line of excerpt.trimEnd().split('\n').map(normalise)) {
  const next = printed.findIndex((other, index) => index > position && other.endsWith(line))
  if (next === -1) {
    console.error(`README.md shows a line that the demo does not print here: ${line}`)
    process.exitCode = 1
    break
  }
  position = next
}
if (status !== 0) process.exitCode = 1
