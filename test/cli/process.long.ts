import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { accessTo, runCli } from '../support/cli.js'
import { checked, keepSecret } from '../support/operator.js'
import { openOperator } from './in-process.js'
import { oneLine } from './one-line.js'
import { runDoctorAndStop } from './stopping.js'

const day = 86_400_000

async function openBuiltCommand() {
  const operator = await openOperator()
  const { flags, env } = accessTo(operator.connect.containerName)
  const run = async (command: string, ...args: string[]) =>
    checked(await runCli([command, ...flags, ...args], { env }))
  return { ...operator, run }
}

test('the built command imports, lists, shows, exports, cleans up and removes certificates', async () => {
  const { store, run, keys } = await openBuiltCommand()
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-process-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const { data, serialNumber } = await makeBundle({ host: 'a.example' })
  keepSecret(Buffer.from(data).toString().split('-----BEGIN CERT')[0] as string)
  await writeFile(join(folder, 'a.example'), data)
  expect(await run('import', '--autocert', folder, '--yes')).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^a\.example: written a\.example \([^\n]*\n$/),
    stderr: expect.stringMatching(
      /^[^\n]*test CA[^\n]*\n1 blob written to container [^\n]*, 0 kept, 0 refused\n$/,
    ),
  })
  const expired = { host: 'old.example', notBefore: new Date(0), notAfter: new Date(Date.now() - day) }
  await store.put('old.example', (await makeBundle(expired)).data)
  expect(await run('ls')).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^HOST [^\n]*\na\.example [^\n]* valid\nold\.example [^\n]* expired\n/),
    stderr: '',
  })
  expect(await run('show', 'a.example')).toEqual({
    code: 0,
    stdout: expect.stringContaining(serialNumber),
    stderr: '',
  })
  const [key, chain] = [join(folder, 'key.pem'), join(folder, 'chain.pem')]
  expect(await run('export', 'a.example', '--key', key, '--chain', chain)).toEqual({
    code: 0,
    stdout: '',
    stderr: `wrote private key to ${key}\nwrote certificate chain to ${chain}\n`,
  })
  expect((await readdir(folder)).sort()).toEqual(['a.example', 'chain.pem', 'key.pem'])
  for (const file of [key, chain]) expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect(await run('clean', '--yes')).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^old\.example {2}certificate, expired [^\n]*\n$/),
    stderr: 'removed 1 blob\n',
  })
  expect(await run('rm', 'a.example', '--yes')).toEqual({
    code: 0,
    stdout: 'a.example\n',
    stderr: 'removed 1 blob\n',
  })
  expect(await keys()).toEqual([])
})

test('the built command exits with 1 after a failure, and with 2 after wrong usage', async () => {
  const { run } = await openBuiltCommand()
  const doctor = await run('doctor', '--directory', 'https://127.0.0.1:1/directory')
  expect(doctor).toMatchObject({ code: 1, stderr: '' })
  expect(doctor.stdout).toMatch(/^ok +clock: .*^ok +delete: .*^failed +CA: [^\n]*ECONNREFUSED[^\n]*\n$/ms)
  expect(await run('ls', '--unknown')).toEqual({ code: 2, stdout: '', stderr: oneLine(/--unknown/) })
})

test('exits silently when the reader of its output, such as head, closes the pipe', async () => {
  const { store, connect } = await openOperator()
  const { data } = await makeBundle({ host: '*.example.com' })
  for (const name of ['a', 'b', 'c']) await store.put(`${name}.example.com`, data)
  const { flags, env } = accessTo(connect.containerName)
  const onStart = (child: { stdout: { destroy(): void } | null }) => child.stdout?.destroy()
  expect(await runCli(['ls', '--json', ...flags], { env, onStart })).toEqual({
    code: 0,
    stdout: '',
    stderr: '',
  })
})

test('doctor removes its blob when Ctrl+C stops it', async () => {
  const { requests, ...run } = await runDoctorAndStop(({ signal }) => signal('SIGINT'))
  expect(run).toMatchObject({ code: 130, stderr: '', keys: [] })
  expect(run.stdout).not.toContain('write')
  expect(requests.at(-1)).toMatch(/^DELETE /)
})

test('doctor removes its blob when the reader of its output ends', async () => {
  const { requests, ...run } = await runDoctorAndStop(async ({ child }) => {
    const closed = once(child.stdout as NodeJS.ReadableStream, 'close')
    child.stdout?.destroy()
    await closed
  })
  expect(run).toMatchObject({ code: 0, stderr: '', keys: [] })
  expect(requests.at(-1)).toMatch(/^DELETE /)
})
