import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { runCli } from '../support/cli.js'

const demo = fileURLToPath(new URL('../../demo/demo.js', import.meta.url))

/** Returns the output of the demo up to its last line. */
async function saidBy(child: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
  let said = ''
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    said += chunk
    if (said.includes('Ctrl+C ends it.')) return said
  }
  throw new Error(`the demo ended: ${said}`)
}

test('the commands that the demo prints for its container run as printed', async () => {
  const child = spawn(process.execPath, [demo], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(async () => {
    if (child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    await ended
  })
  const said = await saidBy(child)
  const variables = [...(/^ {2}export (.*)$/m.exec(said)?.[1] ?? '').matchAll(/(\w+)=(\S+)/g)]
  const env = Object.fromEntries(variables.map(([, name, value]) => [name as string, value as string]))
  const commands = [...said.matchAll(/^ {2}node dist\/cli\/main\.js (.*)$/gm)].map(
    ([, line]) => line as string,
  )
  expect(commands).toHaveLength(2)
  const [ls, doctor] = await Promise.all(commands.map((line) => runCli(line.split(' '), { env })))
  expect(ls).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^3 certificates, /m) })
  expect(doctor).toMatchObject({ code: 0, stderr: '' })
  // A slow machine may cause warnings about durations.
  expect(doctor?.stdout).not.toMatch(/^(warning|failed)(?!.*: servers wait as long)/m)
})
