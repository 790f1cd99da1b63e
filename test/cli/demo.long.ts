import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { runCli } from '../support/cli.js'

const demo = fileURLToPath(new URL('../../demo/demo.js', import.meta.url))

/** Returns the output of the demo up to its last line. */
async function outputOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
  let output = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    output += chunk
    if (output.includes('Press Ctrl+C to stop.')) return output
  }
  throw new Error(`the demo ended: ${output}`)
}

test('the commands that the demo prints for its container run as printed', async () => {
  const child = spawn(process.execPath, [demo], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(async () => {
    if (child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    await ended
  })
  const output = await outputOf(child)
  const variables = [...(/^ {2}export (.*)$/m.exec(output)?.[1] ?? '').matchAll(/(\w+)=(\S+)/g)]
  const env = Object.fromEntries(variables.map(([, name, value]) => [name as string, value as string]))
  const commands = [...output.matchAll(/^ {2}node dist\/cli\/main\.js (.*)$/gm)].map(
    ([, line]) => line as string,
  )
  expect(commands).toHaveLength(2)
  const [ls, doctor] = await Promise.all(commands.map((line) => runCli(line.split(' '), { env })))
  expect(ls).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^3 certificates, /m) })
  expect(doctor).toMatchObject({ code: 0, stderr: '' })
  // A slow machine may cause warnings about durations.
  expect(doctor?.stdout).not.toMatch(/^(warning|failed)(?!.*Handshakes and orders wait)/m)
})
