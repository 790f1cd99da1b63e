import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ContainerSASPermissions } from '@azure/storage-blob'
import { expect, test } from 'vitest'
import { azurite, freshContainer } from '../support/azure.js'
import { makeBundle } from '../support/certificates.js'
import { accessTo, runCli } from '../support/cli.js'
import { checked, keepSecret, makeOperator } from '../support/operator.js'

const at = ['--container', 'certs', '--account', 'fleet']
const key = { AZURE_STORAGE_KEY: Buffer.from('a wrong key').toString('base64') }
keepSecret(key.AZURE_STORAGE_KEY)

/** The whole of what is said is one line. */
const oneLine = (text: RegExp) =>
  expect.stringMatching(new RegExp(`^acme-cert-cache: (?=.*${text.source})[^\\n]+\\n$`))

test.each([
  [['unheard-of'], {}, /there is no command unheard-of; see acme-cert-cache --help/],
  [['toString'], {}, /there is no command toString/],
  [['ls', '--unknown'], {}, /Unknown option '--unknown'; see acme-cert-cache ls --help/],
  [['ls', `--account-key=${key.AZURE_STORAGE_KEY}`], {}, /Unknown option '--account-key'/],
  [['ls', '--json=yes'], {}, /--json/],
  [['ls', '--container'], {}, /--container/],
  [['ls'], {}, /--container is missing/],
  [['ls', ...at, 'a.example'], key, /a\.example is too much/],
  [['ls', ...at, '--expiring', '14'], key, /--expiring takes a time such as/],
  [['ls', ...at, '--sort', 'size'], key, /--sort takes one of host/],
  [['ls', ...at, '--sort', 'constructor'], key, /--sort takes one of host/],
  [['ls', '--account', 'fleet', '--container', 'c'], key, /--container: a name has 3 to 63/],
  [['ls', '--account', 'fleet', '--container', '../x'], key, /--container: a name has 3 to 63/],
  [['ls', '--container', 'certs'], key, /give --account, or set AZURE_STORAGE_ACCOUNT/],
  [['ls', '--container', 'certs', '--account', 'x.invalid/'], key, /storage account’s name/],
  [['ls', ...at, '--endpoint', 'ftp://fleet.invalid'], key, /--endpoint takes an http or https URL/],
  [['ls', ...at, '--endpoint', 'https://fleet.invalid?sig=secret'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', ...at], { AZURE_STORAGE_SAS_TOKEN: '?sv=2021' }, /AZURE_STORAGE_SAS_TOKEN has no signature/],
  [
    ['ls', '--container', 'certs'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret' },
    /AZURE_STORAGE_CONNECTION_STRING is not/,
  ],
  [['ls', ...at, '--blob-prefix', 'a:b'], key, /prefix must be printable ASCII/],
  [['show', ...at, 'a_b.example'], key, /a_b\.example is no DNS name/],
  [['show', ...at, '\u001b[31m.example'], key, /is no DNS name/],
  [['show', ...at], key, /takes HOST;/],
  [['show', ...at, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['rm', ...at, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['doctor', ...at, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['import', ...at, '--key', 'x', '--chain', 'y', 'z'], key, /z is too much;/],
  [['help', 'unheard-of'], {}, /there is no command unheard-of/],
  [['ls', ...at, '--key-prefix', 'a/'], key, /--key-prefix: illegal cache key/],
  [['clean', ...at, '--key-prefix', 'a/'], key, /--key-prefix: illegal cache key/],
  [['ls', ...at, '--directory', 'http://ca.invalid'], key, /--directory takes an https URL/],
  [['doctor', ...at, '--dns', 'foo'], key, /--dns takes the IP address/],
  [['doctor', ...at, 'a.example', '--dns', 'foo'], key, /--dns takes the IP address/],
  [['show', ...at, 'a.example', '--directory', 'http://ca.invalid'], key, /--directory takes an https URL/],
  [['show', ...at, 'a.example', '--key-prefix', 'a/'], key, /--key-prefix: illegal cache key/],
  [['export', ...at, 'a.example', '--key', 'x'], key, /--key and --chain are needed/],
  [['export', ...at, 'a.example', '--key', 'x', '--chain', './x'], key, /one file/],
  [['doctor', ...at, '--http-port', '0'], key, /--http-port takes a port/],
  [['doctor', ...at, '--ca', '/nowhere/ca.pem'], key, /\/nowhere\/ca\.pem could not be read/],
] as [string[], Record<string, string>, RegExp][])('%j is refused in one line', async (args, env, told) => {
  const { code, stdout, stderr } = checked(await runCli(args, { env }))
  expect({ code, stdout, stderr }).toEqual({
    code: told.source.includes('nowhere') ? 1 : 2,
    stdout: '',
    stderr: oneLine(told),
  })
  expect(stderr).not.toContain('secret')
  expect(stderr).not.toContain('\u001b')
})

const commands = [
  ['ls'],
  ['ls', '--json', '--sort', 'host'],
  ['show', 'a.example'],
  ['export', 'a.example', '--key', '/nowhere/key', '--chain', '/nowhere/chain'],
  ['rm', 'a.example', '--yes'],
  ['clean', '--yes'],
]

test('a store that can’t be used is told in one line by every command', async () => {
  const { connect, client } = await freshContainer()
  const { flags, env } = accessTo(connect.containerName)
  const { accountName, endpoint } = azurite()
  const expiresOn = new Date(Date.now() + 600_000)
  const sas = async (permissions: string, until = expiresOn) =>
    new URL(
      await client.generateSasUrl({
        permissions: ContainerSASPermissions.parse(permissions),
        startsOn: new Date(Date.now() - 7_200_000),
        expiresOn: until,
      }),
    ).search
  const cases: [string, string[], Record<string, string>, RegExp][] = [
    ['unreachable', accessTo('certs', 'http://127.0.0.1:1/fleet').flags, env, /firewall blocks the way/],
    ['no such name', accessTo('certs', 'http://nowhere.invalid/fleet').flags, env, /DNS/],
    ['no container', accessTo('is-not-there').flags, env, /Create the container/],
    ['wrong key', flags, { AZURE_STORAGE_ACCOUNT: accountName, ...key }, /Check the account name and key/],
    [
      'no permission',
      flags,
      { AZURE_STORAGE_SAS_TOKEN: await sas('c') },
      /use a SAS with the permissions read/,
    ],
    [
      'expired',
      flags,
      { AZURE_STORAGE_SAS_TOKEN: await sas('rl', new Date(Date.now() - 3_600_000)) },
      /SAS or token has expired/,
    ],
  ]
  expect(endpoint).toContain(accountName)
  const runs = cases.flatMap((one) => commands.map((command) => ({ command, one })))
  const waiting = [...runs]
  const work = async () => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [name, where, credentials, told] = next.one
      const [command, ...rest] = next.command as [string, ...string[]]
      const result = checked(await runCli([command, ...where, ...rest], { env: credentials }))
      expect({ name, command, ...result }).toEqual({
        name,
        command,
        code: 1,
        stdout: '',
        stderr: oneLine(told),
      })
      for (const secret of Object.values(credentials)) {
        if (secret !== accountName) expect(result.stderr).not.toContain(secret)
      }
    }
  }
  await Promise.all([work(), work()])
}, 120_000)

test('a read-only SAS is enough for ls and show, and what it does not allow is said', async () => {
  const { client, store, connect } = await makeOperator()
  const { data } = await makeBundle({ host: 'a.example' })
  await store.put('a.example', data)
  const expiresOn = new Date(Date.now() + 600_000)
  const url = new URL(
    await client.generateSasUrl({ permissions: ContainerSASPermissions.parse('rl'), expiresOn }),
  )
  const env = { AZURE_STORAGE_SAS_TOKEN: url.search }
  const { flags } = accessTo(connect.containerName)
  const run = async (...args: string[]) =>
    checked(await runCli([...args.slice(0, 1), ...flags, ...args.slice(1)], { env }))
  expect(await run('ls')).toMatchObject({ code: 0, stderr: '' })
  expect(await run('show', 'a.example')).toMatchObject({ code: 0, stderr: '' })
  const told = oneLine(/could not delete a\.example .* read, add, create, write and delete/)
  expect(await run('rm', 'a.example', '--yes')).toMatchObject({ code: 1, stderr: told })
  expect(await store.get('a.example')).toBeDefined()
})

test('a connection string is enough, and gives way to --endpoint', async () => {
  const { connect } = await freshContainer()
  const { accountName, accountKey, endpoint, containerName } = connect
  const env = {
    AZURE_STORAGE_CONNECTION_STRING: `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};BlobEndpoint=${endpoint};`,
  }
  expect(await runCli(['ls', '--container', containerName], { env })).toMatchObject({ code: 0 })
  const elsewhere = ['--endpoint', 'http://127.0.0.1:1/fleet', '--account', 'fleet']
  const moved = await runCli(['ls', '--container', containerName, ...elsewhere], { env: { ...env, ...key } })
  expect(moved).toMatchObject({ code: 1, stderr: oneLine(/firewall/) })
})

test('without credentials and without @azure/identity it says what to set or install', async () => {
  // The package as it is installed: beside its dependencies, and nothing else.
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-alone-'))
  try {
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const modules = join(folder, 'node_modules')
    const home = join(modules, 'acme-cert-cache')
    await mkdir(join(modules, '@azure'), { recursive: true })
    await cp(join(root, 'dist'), join(home, 'dist'), { recursive: true })
    await cp(join(root, 'package.json'), join(home, 'package.json'))
    for (const name of ['@azure/storage-blob', 'acme-client']) {
      await symlink(join(root, 'node_modules', name), join(modules, name))
    }
    const bin = join(home, 'dist/cli/main.js')
    const { code, stderr } = await runCli(['ls', ...at], { bin })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: oneLine(/set AZURE_STORAGE_KEY.*install @azure\/identity/),
    })
    expect(await runCli(['--version'], { bin })).toMatchObject({ code: 0 })
    const ignored = { AZURE_STORAGE_CONNECTION_STRING: 'UseDevelopmentStorage=true' }
    const notUsed = oneLine(/AZURE_STORAGE_CONNECTION_STRING is set, and is not used with --account/)
    expect(await runCli(['ls', ...at], { bin, env: ignored })).toMatchObject({ code: 1, stderr: notUsed })

    // As it is where nobody has logged in.
    const identity = join(modules, '@azure/identity')
    await mkdir(identity)
    await writeFile(join(identity, 'package.json'), '{ "type": "module", "main": "index.js" }')
    const source = `export class DefaultAzureCredential {
  async getToken() { throw Object.assign(new Error('tried in vain\\n  this and that'), { name: 'ChainError' }) }
}`
    await writeFile(join(identity, 'index.js'), source)
    expect(await runCli(['ls', ...at], { bin })).toMatchObject({
      code: 1,
      stderr: oneLine(/ChainError: tried in vain\)\. Set AZURE_STORAGE_KEY.* log in with az login\./),
    })
    expect(await runCli(['ls', ...at], { bin, env: ignored })).toMatchObject({ code: 1, stderr: notUsed })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a reader that has enough, such as head, is no failure', async () => {
  const { store, connect } = await makeOperator()
  const { data } = await makeBundle({ host: '*.example.com' })
  await Promise.all(Array.from({ length: 60 }, (_, n) => store.put(`host-${n}.example.com`, data)))
  const { flags, env } = accessTo(connect.containerName)
  const bin = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
  const child = spawn(process.execPath, [bin, 'ls', '--json', ...flags], {
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  child.stdout.destroy()
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})

test.each(['ls', 'show', 'import', 'export', 'rm', 'clean', 'doctor'])(
  '%s --help tells flags, credentials and exit codes',
  async (command) => {
    const { code, stdout, stderr } = await runCli([command, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const part of [
      `Usage: acme-cert-cache ${command}`,
      '--container NAME',
      'AZURE_STORAGE_SAS_TOKEN',
      'Exit codes: 0',
    ])
      expect(stdout).toContain(part)
    expect(await runCli([command, '-h'])).toEqual({ code, stdout, stderr })
    expect(await runCli(['help', command])).toEqual({ code, stdout, stderr })
    const isOfAll = command === 'ls' || command === 'clean'
    expect(stdout.includes('default: Let’s Encrypt’s production')).toBe(!isOfAll)
  },
)

test('without a command it tells what there is, as wrong usage', async () => {
  const { code, stdout } = await runCli([])
  expect(code).toBe(2)
  expect(stdout).toContain('doctor')
  expect(await runCli(['--help'])).toEqual({ code: 0, stdout, stderr: '' })
})
