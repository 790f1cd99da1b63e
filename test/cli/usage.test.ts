import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { checked, keepSecret } from '../support/operator.js'
import { runInProcess } from './in-process.js'
import { oneLine } from './one-line.js'

const access = ['--container', 'certs', '--account', 'fleet']
const key = { AZURE_STORAGE_KEY: Buffer.from('a wrong key').toString('base64') }
keepSecret(key.AZURE_STORAGE_KEY)

test.each([
  [['unheard-of'], {}, /there is no command unheard-of; see acme-cert-cache --help/],
  [['toString'], {}, /there is no command toString/],
  [['ls', '--unknown'], {}, /Unknown option '--unknown'; see acme-cert-cache ls --help/],
  [['ls', `--account-key=${key.AZURE_STORAGE_KEY}`], {}, /Unknown option '--account-key'/],
  [['ls', '--json=yes'], {}, /--json/],
  [['ls', '--container'], {}, /--container/],
  [['ls'], {}, /--container is missing/],
  [['ls', ...access, 'a.example'], key, /a\.example is too much/],
  [['ls', ...access, '--expiring', '14'], key, /--expiring takes a time such as/],
  [['ls', ...access, '--sort', 'size'], key, /--sort takes one of host/],
  [['ls', ...access, '--sort', 'constructor'], key, /--sort takes one of host/],
  [['ls', '--account', 'fleet', '--container', 'c'], key, /--container: a name has 3 to 63/],
  [['ls', '--account', 'fleet', '--container', '../x'], key, /--container: a name has 3 to 63/],
  [['ls', '--container', 'certs'], key, /give --account, or set AZURE_STORAGE_ACCOUNT/],
  [['ls', '--container', 'certs', '--account', 'x.invalid/'], key, /storage account’s name/],
  [['ls', ...access, '--endpoint', 'ftp://fleet.invalid'], key, /--endpoint takes an http or https URL/],
  [['ls', ...access, '--endpoint', 'https://fleet.invalid?sig=secret'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', ...access], { AZURE_STORAGE_SAS_TOKEN: '?sv=2021' }, /AZURE_STORAGE_SAS_TOKEN has no signature/],
  [
    ['ls', '--container', 'certs'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret' },
    /AZURE_STORAGE_CONNECTION_STRING is not/,
  ],
  [
    ['ls', '--container', 'certs', '--endpoint', 'https://fleet.invalid'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret', AZURE_STORAGE_SAS_TOKEN: '?sv=2021' },
    /AZURE_STORAGE_SAS_TOKEN has no signature/,
  ],
  [['ls', ...access, '--endpoint', 'https://user@fleet.invalid'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', ...access, '--endpoint', 'https://:secret@fleet.invalid'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', '--container', 'certs', '--endpoint', 'https://fleet.invalid'], key, /give --account/],
  [
    ['ls', '--container', 'certs', '--account', 'x.invalid/'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret' },
    /storage account’s name/,
  ],
  [['ls', ...access, '--sort', ''], key, /--sort needs a value/],
  [['ls', ...access, '--blob-prefix', 'a:b'], key, /prefix must be printable ASCII/],
  [['show', ...access, 'a_b.example'], key, /a_b\.example is no DNS name/],
  [['show', ...access, '\u001b[31m.example'], key, /is no DNS name/],
  [['show', ...access], key, /takes HOST;/],
  [['show', ...access, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['rm', ...access, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['doctor', ...access, 'a.example', 'b.example'], key, /b\.example is too much;/],
  [['import', ...access, '--key', 'x', '--chain', 'y', 'z'], key, /z is too much;/],
  [['help', 'unheard-of'], {}, /there is no command unheard-of/],
  [['ls', ...access, '--key-prefix', 'a/'], key, /--key-prefix: invalid cache key/],
  [['clean', ...access, '--key-prefix', 'a/'], key, /--key-prefix: invalid cache key/],
  [['ls', ...access, '--directory', 'http://ca.invalid'], key, /--directory takes an https URL/],
  [['doctor', ...access, '--dns', 'foo'], key, /--dns takes the IP address/],
  [['doctor', ...access, 'a.example', '--dns', 'foo'], key, /--dns takes the IP address/],
  [
    ['show', ...access, 'a.example', '--directory', 'http://ca.invalid'],
    key,
    /--directory takes an https URL/,
  ],
  [['show', ...access, 'a.example', '--key-prefix', 'a/'], key, /--key-prefix: invalid cache key/],
  [['export', ...access, 'a.example', '--key', 'x'], key, /--key and --chain are needed/],
  [['export', ...access, 'a.example', '--key', 'x', '--chain', './x'], key, /one file/],
  [['doctor', ...access, '--http-port', '0'], key, /--http-port takes a port/],
  [['doctor', ...access, '--http-port', '65536'], key, /--http-port takes a port/],
  [['doctor', ...access, '--http-port', '1e3'], key, /--http-port takes a port/],
  [['doctor', ...access, '--ca', '/nowhere/ca.pem'], key, /\/nowhere\/ca\.pem could not be read/],
] as [string[], Record<string, string>, RegExp][])('rejects %j in one line', async (args, env, message) => {
  const { code, stdout, stderr } = checked(await runInProcess(args, { env }))
  expect({ code, stdout, stderr }).toEqual({
    code: args.includes('/nowhere/ca.pem') ? 1 : 2,
    stdout: '',
    stderr: oneLine(message),
  })
  expect(stderr).not.toContain('secret')
  expect(stderr).not.toContain('\u001b')
})

test.each(['ls', 'show', 'import', 'export', 'rm', 'clean', 'doctor'])(
  '%s --help lists flags, credentials and exit codes',
  async (command) => {
    const { code, stdout, stderr } = await runInProcess([command, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const part of [
      `Usage: acme-cert-cache ${command}`,
      '--container NAME',
      'AZURE_STORAGE_SAS_TOKEN',
      'Exit codes: 0',
    ])
      expect(stdout).toContain(part)
    expect(await runInProcess([command, '-h'])).toEqual({ code, stdout, stderr })
    expect(await runInProcess(['help', command])).toEqual({ code, stdout, stderr })
    const coversAllCas = command === 'ls' || command === 'clean'
    expect(stdout.includes('default: Let’s Encrypt’s production')).toBe(!coversAllCas)
  },
)

test('lists the commands and exits with 2 if no command is given', async () => {
  const { code, stdout } = await runInProcess([])
  expect(code).toBe(2)
  expect(stdout).toContain('doctor')
  expect(await runInProcess(['--help'])).toEqual({ code: 0, stdout, stderr: '' })
})

test('prints the version of the package', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  for (const flag of ['--version', '-v']) {
    expect(await runInProcess([flag])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  }
})

test('prefers an account key to a SAS', async () => {
  const endpoint = ['--endpoint', 'http://127.0.0.1:1/fleet']
  const env = { ...key, AZURE_STORAGE_SAS_TOKEN: '?sv=2021' }
  const result = checked(await runInProcess(['ls', ...access, ...endpoint], { env }))
  expect(result).toMatchObject({ code: 1, stderr: oneLine(/firewall/) })
})
