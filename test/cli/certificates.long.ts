import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeBundle } from '../support/certificates.js'
import { keepSecret } from '../support/operator.js'
import { openOperator } from './in-process.js'

const day = 86_400_000

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-cli-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function bundle(options: Parameters<typeof makeBundle>[0]) {
  const created = await makeBundle(options)
  keepSecret(Buffer.from(created.data).toString().split('-----BEGIN CERT')[0] as string)
  return created
}

const failure = Buffer.from(
  JSON.stringify({ failures: 2, retryAt: Date.now() + day, message: 'the CA said no' }),
)

test('show prints everything about a certificate except its private key', async () => {
  const { store, run, json } = await openOperator()
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
    'EC P-256, matches the certificate',
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

test('show --with-key and export write files that only the owner can read, even when replacing readable files', async () => {
  const { store, run } = await openOperator()
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

test('export replaces neither links nor devices, and writes both files of a pair or none', async () => {
  const { store, run } = await openOperator()
  await store.put('a.example', (await bundle({ host: 'a.example' })).data)
  const file = (name: string) => join(folder, name)
  execFileSync('mkfifo', [file('pipe')])
  await writeFile(file('former.pem'), 'former')
  await symlink(file('former.pem'), file('link'))
  await mkdir(file('folder'))
  const names = (await readdir(folder)).sort()
  for (const [name, message] of [
    ['pipe', /cannot write ".*pipe": it is not a regular file/],
    ['link', /cannot write ".*link": it is a symbolic link\. Pass the path of its target/],
    ['folder', /cannot write ".*folder": it is a folder/],
    ['none/key.pem', /no such file or folder/],
  ] as const) {
    for (const args of [
      ['show', 'a.example', '--with-key', file(name)],
      ['export', 'a.example', '--key', file(name), '--chain', file('chain.pem')],
      ['export', 'a.example', '--key', file('key.pem'), '--chain', file(name)],
    ]) {
      const { code, stderr } = await run(...(args as [string, ...string[]]))
      expect({ args, code, stderr }).toEqual({ args, code: 1, stderr: expect.stringMatching(message) })
    }
  }
  expect((await readdir(folder)).sort()).toEqual(names)
  expect((await lstat(file('pipe'))).isFIFO()).toBe(true)
  expect(await readFile(file('link'), 'utf8')).toBe('former')
})

test('export warns why no server would serve the certificate', async () => {
  const { store, run } = await openOperator()
  const [old, early] = await Promise.all([
    bundle({ host: 'a.example', notBefore: new Date(0), notAfter: new Date(Date.now() - day) }),
    bundle({ host: 'a.example', notBefore: new Date(Date.now() + day) }),
  ])
  const to = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  const notesOn = async (key: string, data: Uint8Array) => {
    await store.put(key, data)
    const { code, stderr } = await run('export', key, ...to)
    expect(code).toBe(0)
    return stderr.split('\n').slice(2, -1)
  }
  expect(await notesOn('a.example', old.data)).toEqual([
    expect.stringMatching(/^acme-cert-cache: warning: the certificate expired \d{4}-/),
  ])
  expect(await notesOn('a.example', early.data)).toEqual([
    expect.stringMatching(/^acme-cert-cache: warning: the certificate is not valid before \d{4}-/),
  ])
  const rsa = await bundle({ host: 'a.example', keyType: 'rsa' })
  expect(await notesOn('a.example', rsa.data)).toEqual([
    'acme-cert-cache: warning: the key type of the certificate is RSA 2048: servers ignore it',
  ])
  expect(await notesOn('b.example', old.data)).toEqual([
    'acme-cert-cache: warning: the certificate is not for "b.example", but for "a.example"',
    expect.stringContaining('expired'),
  ])
})

test('reports a missing or unusable certificate in one line', async () => {
  const { store, run, json } = await openOperator()
  await store.put('rubbish.example', Buffer.from('rubbish'))
  await store.put('wrong.example', (await bundle({ host: 'other.example' })).data)
  await store.put('rsa.example', (await bundle({ host: 'rsa.example', keyType: 'rsa' })).data)
  await store.put('fails.example+failure', failure)
  const key = ['--key', join(folder, 'key'), '--chain', join(folder, 'chain')]
  for (const [args, message] of [
    [['show', 'none.example'], /no certificate "none\.example" in container .*\. Run ls/],
    [['show', 'fails.example'], /no certificate "fails\.example" in container/],
    [['show', 'rubbish.example'], /"rubbish\.example" is corrupt: no private key\. .* Remove it with rm/],
    [['show', 'wrong.example'], /another host/],
    [['export', 'none.example', ...key], /no certificate "none\.example"/],
    [['export', 'rubbish.example', ...key], /no private key/],
    [['rm', 'none.example', '--yes'], /no certificate "none\.example"/],
  ] as [[string, ...string[]], RegExp][]) {
    const { code, stderr } = await run(...args)
    expect({ args, code }).toEqual({ args, code: 1 })
    expect(stderr).toMatch(/^[^\n]+\n$/)
    expect(stderr).toMatch(message)
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
    ['rsa.example', 'rsa.example', 'another key type'],
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

test('show, export and rm accept a stored key instead of a host', async () => {
  const { store, run, json, keys } = await openOperator()
  const [other, rsa] = [
    await bundle({ host: 'a.example' }),
    await bundle({ host: 'a.example', keyType: 'rsa' }),
  ]
  const key = 'acme.example_14000~a.example'
  await store.put(key, other.data)
  await store.put('a.example+rsa', rsa.data)
  await store.put('mine-a.example+rsa', rsa.data)
  expect(await json('show', key)).toMatchObject([
    { host: 'a.example', key, serialNumber: other.serialNumber },
  ])
  expect(await json('show', 'a.example+rsa')).toMatchObject([{ key: 'a.example+rsa', keyType: 'RSA 2048' }])
  expect(await json('show', 'a.example+rsa', '--key-prefix', 'mine-')).toMatchObject([
    { key: 'mine-a.example+rsa' },
  ])
  expect(await json('show', key, '--directory', 'https://acme.example:14000/x')).toMatchObject([{ key }])
  const to = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  expect(await run('export', key, ...to)).toMatchObject({ code: 0 })
  expect(await readFile(join(folder, 'chain.pem'), 'utf8')).toBe(other.chain)
  expect(await run('rm', key, '--yes')).toMatchObject({ code: 0, stdout: `${key}\n` })
  expect(await keys()).toEqual(['a.example+rsa', 'mine-a.example+rsa'])
})

test('show, export and rm name the stored keys of other CAs if the host is not found', async () => {
  const { store, run, keys } = await openOperator()
  const { data } = await bundle({ host: 'a.example' })
  const found = ['acme.example~a.example', 'b.example', 'a.example+rsa']
  for (const key of found) await store.put(key, data)
  const to = ['--key', join(folder, 'key.pem'), '--chain', join(folder, 'chain.pem')]
  for (const args of [
    ['show', 'a.example'],
    ['export', 'a.example', ...to],
    ['rm', 'a.example', '--yes'],
  ] as [string, ...string[]][]) {
    const { code, stderr } = await run(...args)
    expect({ args, code }).toEqual({ args, code: 1 })
    expect(stderr).toMatch(
      /^acme-cert-cache: no certificate "a\.example" in container "\S+"\. Found "a\.example\+rsa", "acme\.example~a\.example"\. Select it with --directory, [^\n]*\n$/,
    )
  }
  expect(await keys()).toEqual([...found].sort())
})
