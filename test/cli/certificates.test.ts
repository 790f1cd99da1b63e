import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { accessTo, runCli } from '../support/cli.js'
import { checked, keepSecret, makeOperator } from '../support/operator.js'
import { openProxy } from '../support/proxy.js'

const day = 86_400_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-cli-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function bundle(wish: Parameters<typeof makeBundle>[0]) {
  const made = await makeBundle(wish)
  keepSecret(Buffer.from(made.data).toString().split('-----BEGIN CERT')[0] as string)
  return made
}

const failure = Buffer.from(
  JSON.stringify({ failures: 2, retryAt: Date.now() + day, message: 'the CA said no' }),
)

test('show says everything about a certificate but its private key', async () => {
  const { store, run, json } = await makeOperator()
  const { data, chain, serialNumber } = await bundle({ host: 'a.example' })
  await store.put('a.example', data)
  await store.put('a.example+failure', failure)
  const { fingerprint256 } = new X509Certificate(chain)
  const { code, stdout, stderr } = await run('show', 'A.Example.')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  for (const part of [
    'stored as     a.example',
    serialNumber,
    fingerprint256,
    'EC P-256, matches',
    '2 in a row',
  ]) {
    expect(stdout).toContain(part)
  }
  expect(await json('show', 'a.example')).toMatchObject([
    {
      names: ['a.example'],
      keyMatches: true,
      serialNumber,
      chain: [{ fingerprint256 }],
      failure: { failures: 2 },
    },
  ])
})

test('show --with-key and export write files for their owner only, also over others’', async () => {
  const { store, run } = await makeOperator()
  const { data } = await bundle({ host: 'a.example', keyType: 'rsa' })
  await store.put('a.example+rsa', data)
  const file = (name: string) => join(folder, name)
  await writeFile(file('both.pem'), 'former', { mode: 0o644 })
  expect(await run('show', 'a.example', '--rsa', '--with-key', file('both.pem'))).toMatchObject({ code: 0 })
  expect(await readFile(file('both.pem'))).toEqual(Buffer.from(data))
  const to = ['--key', file('key.pem'), '--chain', file('chain.pem')]
  expect(await run('export', 'a.example', '--rsa', ...to)).toMatchObject({ code: 0, stdout: '' })
  expect(Buffer.concat([await readFile(file('key.pem')), await readFile(file('chain.pem'))])).toEqual(
    Buffer.from(data),
  )
  expect(await readdir(folder)).toEqual(['both.pem', 'chain.pem', 'key.pem'])
  for (const name of await readdir(folder)) expect((await stat(file(name))).mode & 0o777).toBe(0o600)
})

test('neither a link nor a device is replaced, and of a pair both files are written or none', async () => {
  const { store, run } = await makeOperator()
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  const file = (name: string) => join(folder, name)
  execFileSync('mkfifo', [file('pipe')])
  await writeFile(file('former.pem'), 'former')
  await symlink(file('former.pem'), file('link'))
  await mkdir(file('folder'))
  const names = (await readdir(folder)).sort()
  for (const [name, told] of [
    ['pipe', /pipe could not be written: there is something that is no regular file/],
    ['link', /link could not be written: it is a symbolic link; give the file that it leads to/],
    ['folder', /folder could not be written: it is a folder/],
    ['none/key.pem', /no such file or folder/],
  ] as const) {
    for (const args of [
      ['show', 'a.example', '--with-key', file(name)],
      ['export', 'a.example', '--key', file(name), '--chain', file('chain.pem')],
      ['export', 'a.example', '--key', file('key.pem'), '--chain', file(name)],
    ]) {
      const { code, stderr } = await run(...(args as [string, ...string[]]))
      expect({ args, code, stderr }).toEqual({ args, code: 1, stderr: expect.stringMatching(told) })
    }
  }
  expect((await readdir(folder)).sort()).toEqual(names)
  expect((await lstat(file('pipe'))).isFIFO()).toBe(true)
  expect(await readFile(file('link'), 'utf8')).toBe('former')
})

test('export says what no server could do with the certificate', async () => {
  const { store, run } = await makeOperator()
  const [old, early] = await Promise.all([
    bundle({ host: 'a.example', notBefore: new Date(0), notAfter: new Date(Date.now() - day) }),
    bundle({ host: 'a.example', notBefore: new Date(Date.now() + day) }),
  ])
  const to = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  const told = async (key: string, data: Uint8Array) => {
    await store.put(key, data)
    const { code, stderr } = await run('export', key, ...to)
    expect(code).toBe(0)
    return stderr.split('\n').slice(2, -1)
  }
  expect(await told('a.example', old.data)).toEqual([expect.stringMatching(/^expired \d{4}-/)])
  expect(await told('a.example', early.data)).toEqual([expect.stringMatching(/^not valid before \d{4}-/)])
  expect(await told('b.example', old.data)).toEqual([
    'not for b.example: the certificate is for a.example',
    expect.stringMatching(/^expired/),
  ])
})

test('what is not there or can’t be served is said in one line', async () => {
  const { store, run, json } = await makeOperator()
  await store.put('rubbish.example', Buffer.from('rubbish'))
  await store.put('wrong.example', (await bundle({ host: 'other.example' })).data)
  await store.put('fails.example+failure', failure)
  const key = ['--key', join(folder, 'key'), '--chain', join(folder, 'chain')]
  for (const [args, told] of [
    [['show', 'none.example'], /there is no none\.example in container/],
    [['show', 'fails.example'], /there is no fails\.example in container/],
    [['show', 'rubbish.example'], /rubbish\.example can’t be served: no private key; remove it with rm/],
    [['show', 'wrong.example'], /another host/],
    [['export', 'none.example', ...key], /there is no none\.example/],
    [['export', 'rubbish.example', ...key], /no private key/],
    [['rm', 'none.example', '--yes'], /there is no none\.example/],
  ] as [[string, ...string[]], RegExp][]) {
    const { code, stderr } = await run(...args)
    expect({ args, code }).toEqual({ args, code: 1 })
    expect(stderr).toMatch(/^[^\n]+\n$/)
    expect(stderr).toMatch(told)
  }
  expect(await readdir(folder)).toEqual([])
  const mixed = (await bundle({ host: 'mixed.example' })).data
  const other = await bundle({ host: 'mixed.example' })
  await store.put(
    'mixed.example',
    Buffer.from(Buffer.from(mixed).toString().split('-----BEGIN CERT')[0] + other.chain),
  )
  for (const [host, names, fault] of [
    ['mixed.example', 'mixed.example', 'key mismatch'],
    ['wrong.example', 'other.example', 'another host'],
  ] as const) {
    const shown = await run('show', host)
    expect(shown.code).toBe(1)
    expect(shown.stdout).toMatch(new RegExp(`^names +${names}$[^]*^chain .*\n +SHA-256 `, 'm'))
    expect(shown.stderr).toContain(fault)
    expect(await json('show', host)).toMatchObject([{ names: [names], fault }])
  }
  const { stdout } = await run('show', 'fails.example')
  expect(stdout).toContain('the CA said no')
})

test('rm removes one certificate, and what is known of it, when it is told to', async () => {
  const { store, run, keys } = await makeOperator()
  const { data } = await bundle({ host: 'a.example' })
  const stored = ['a.example', 'a.example+failure', 'a.example+renewal', 'a.example+rsa', 'b.example']
  for (const key of stored) await store.put(key, data)
  const asked = await run('rm', 'a.example')
  expect(asked.code).toBe(2)
  expect(asked.stderr).toContain('give --yes')
  expect(await keys()).toEqual(stored)
  expect(await run('rm', 'a.example', '--yes')).toMatchObject({
    code: 0,
    stdout: 'a.example\na.example+failure\na.example+renewal\n',
  })
  expect(await keys()).toEqual(['a.example+rsa', 'b.example'])
})

test('clean removes what has expired or was left behind, and nothing else', async () => {
  const { client, store, run, keys } = await makeOperator()
  const [old, valid] = await Promise.all([
    bundle({
      host: 'old.example',
      notBefore: new Date(Date.now() - 9 * day),
      notAfter: new Date(Date.now() - day),
    }),
    bundle({ host: 'a.example' }),
  ])
  const stored: [string, Uint8Array][] = [
    ['a.example', valid.data],
    ['a.example+token', valid.data],
    ['acme_account+key', Buffer.from('x')],
    ['old.example', old.data],
    ['old.example+failure', failure],
    ['other+blob', Buffer.from('x')],
    ['rubbish.example', Buffer.from('x')],
    ['token+http-01', Buffer.from('x')],
  ]
  for (const [key, data] of stored) await store.put(key, data)
  // Of now, so not stale yet.
  await client.uploadBlockBlob('b.example+lock', '', 0)
  const all = await keys()
  const doomed = /^old\.example {2}certificate, expired \d{4}-\d\d-\d\d \d\d:\d\d\n$/
  const dry = await run('clean', '--dry-run')
  expect(dry).toMatchObject({ code: 0, stdout: expect.stringMatching(doomed) })
  expect(await run('clean')).toMatchObject({ code: 2, stdout: dry.stdout })
  expect(await keys()).toEqual(all)
  expect(await run('clean', '--yes')).toMatchObject({
    code: 0,
    stdout: dry.stdout,
    stderr: 'removed 1 blob\n',
  })
  expect(await keys()).toEqual(all.filter((key) => key !== 'old.example'))
  expect(await run('clean')).toMatchObject({ code: 0, stdout: '' })
})

test('clean removes stale challenge answers, and locks that nobody holds', async () => {
  const { client, store, runAt, keys } = await makeOperator()
  for (const key of ['a.example+token', 'token+http-01', 'acme_account+key'])
    await store.put(key, Buffer.from('x'))
  await client.uploadBlockBlob('left.example+lock', '', 0)
  const lock = await store.tryLock('held.example')
  const twoMinutes = await runAt(120_000, 'clean', '--yes')
  expect(twoMinutes.stdout).toMatch(/^left\.example\+lock {2}lock that nobody holds, of [^\n]*\n$/)
  const twoDays = await runAt(2 * day, 'clean', '--yes')
  expect(twoDays.stdout).toMatch(
    /^a\.example\+token {2}tls-alpn-01 answer.*\ntoken\+http-01 {2}http-01 answer.*\n$/,
  )
  expect(twoDays.stderr).toBe('removed 2 blobs\n')
  expect(await keys()).toEqual(['acme_account+key', 'held.example+lock'])
  await lock?.release()
})

test('clean keeps what is written between its second look and the removal', async () => {
  const { store, connect } = await makeOperator()
  const [old, renewed] = await Promise.all([
    bundle({ host: 'a.example', notBefore: new Date(0), notAfter: new Date(Date.now() - day) }),
    bundle({ host: 'a.example' }),
  ])
  await store.put('a.example', old.data)
  const HTTP_PROXY = await openProxy(async (method) => {
    if (method === 'DELETE') await store.put('a.example', renewed.data)
  })
  const { flags, env } = accessTo(connect.containerName, 'http://store.invalid/fleet')
  const { code, stderr } = checked(
    await runCli(['clean', '--yes', ...flags], { env: { ...env, HTTP_PROXY } }),
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: 'a.example is in use again: kept\nremoved 0 blobs\n' })
  expect(await store.get('a.example')).toEqual(Buffer.from(renewed.data))
})
