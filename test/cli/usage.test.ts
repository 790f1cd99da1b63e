import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { checked, keepSecret } from '../support/operator.js'
import { runInProcess } from './in-process.js'
import { oneLine } from './one-line.js'

const access = ['--container', 'certs', '--account', 'fleet']
const key = { AZURE_STORAGE_KEY: Buffer.from('a wrong key').toString('base64') }
keepSecret(key.AZURE_STORAGE_KEY)

test.each([
  [['unheard-of'], {}, /unknown command: unheard-of\. Run "acme-cert-cache --help"\./],
  [['toString'], {}, /unknown command: toString\./],
  [['ls', '--unknown'], {}, /unknown flag: --unknown\. Run "acme-cert-cache ls --help"\./],
  [['ls', `--account-key=${key.AZURE_STORAGE_KEY}`], {}, /unknown flag: --account-key\./],
  [['ls', '-x'], {}, /unknown flag: -x\./],
  [['ls', '--json=yes'], {}, /unexpected value: --json does not take one\./],
  [['ls', '--container'], {}, /missing value: --container\./],
  [['ls', '--container', '--json'], {}, /missing value: --container\./],
  [['ls'], {}, /missing flag: --container\./],
  [['ls', ...access, 'a.example'], key, /unexpected argument: a\.example\./],
  [['ls', ...access, '--expiring', '14'], key, /--expiring must be a time such as/],
  [['ls', ...access, '--sort', 'size'], key, /--sort must be one of host/],
  [['ls', ...access, '--sort', 'constructor'], key, /--sort must be one of host/],
  [['ls', '--account', 'fleet', '--container', 'c'], key, /--container must be 3 to 63/],
  [['ls', '--account', 'fleet', '--container', '../x'], key, /--container must be 3 to 63/],
  [
    ['ls', '--container', 'certs'],
    key,
    /missing storage account\. Pass --account, or set AZURE_STORAGE_ACCOUNT/,
  ],
  [['ls', '--container', 'certs', '--account', 'x.invalid/'], key, /storage account name must be/],
  [['ls', ...access, '--endpoint', 'ftp://fleet.invalid'], key, /--endpoint must be an http or https URL/],
  [['ls', ...access, '--endpoint', 'https://fleet.invalid?sig=secret'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [
    ['ls', ...access],
    { AZURE_STORAGE_SAS_TOKEN: '?sv=2021' },
    /AZURE_STORAGE_SAS_TOKEN is not a SAS: it has no signature/,
  ],
  [
    ['ls', '--container', 'certs'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret' },
    /AZURE_STORAGE_CONNECTION_STRING is not/,
  ],
  [
    ['ls', '--container', 'certs', '--endpoint', 'https://fleet.invalid'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret', AZURE_STORAGE_SAS_TOKEN: '?sv=2021' },
    /AZURE_STORAGE_SAS_TOKEN is not a SAS: it has no signature/,
  ],
  [['ls', ...access, '--endpoint', 'https://user@fleet.invalid'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', ...access, '--endpoint', 'https://:secret@fleet.invalid'], {}, /AZURE_STORAGE_SAS_TOKEN/],
  [['ls', '--container', 'certs', '--endpoint', 'https://fleet.invalid'], key, /Pass --account/],
  [
    ['ls', '--container', 'certs', '--account', 'x.invalid/'],
    { AZURE_STORAGE_CONNECTION_STRING: 'AccountKey=secret' },
    /storage account name must be/,
  ],
  [['ls', ...access, '--sort', ''], key, /missing value: --sort\./],
  [['ls', ...access, '--blob-prefix', 'a:b'], key, /prefix must be/],
  [['show', ...access, 'a_b.example'], key, /"a_b\.example" is not a DNS name/],
  [['show', ...access, '\u001b[31m.example'], key, /is not a DNS name/],
  [['show', ...access], key, /missing argument: HOST\./],
  [['show', ...access, 'a.example', 'b.example'], key, /unexpected argument: b\.example\./],
  [['rm', ...access, 'a.example', 'b.example'], key, /unexpected argument: b\.example\./],
  [['doctor', ...access, 'a.example', 'b.example'], key, /unexpected argument: b\.example\./],
  [['import', ...access, '--key', 'x', '--chain', 'y', 'z'], key, /unexpected argument: z\./],
  [['show', ...access, 'a.example~b.example', '--key-prefix', ''], key, /from another CA than --directory/],
  [['show', ...access, 'a/b~b.example'], key, /is not a DNS name/],
  [['show', ...access, 'a.example+failure'], key, /is not a DNS name/],
  [['export', ...access, 'a.example', '--chain', 'x'], key, /missing flag: --key\./],
  [['import', ...access, '--key', 'x', '--chain', 'y', '--key-prefix', 'a/'], {}, /--key-prefix: /],
  [['help', 'unheard-of'], {}, /unknown command: unheard-of/],
  [['ls', ...access, '--key-prefix', 'a/'], key, /--key-prefix: /],
  [['clean', ...access, '--key-prefix', 'a/'], key, /--key-prefix: /],
  [['ls', ...access, '--directory', 'http://ca.invalid'], key, /--directory must be an https URL/],
  [['doctor', ...access, '--dns', 'foo'], key, /--dns must be the IP address/],
  [['doctor', ...access, 'a.example', '--dns', 'foo'], key, /--dns must be the IP address/],
  [
    ['show', ...access, 'a.example', '--directory', 'http://ca.invalid'],
    key,
    /--directory must be an https URL/,
  ],
  [['show', ...access, 'a.example', '--key-prefix', 'a/'], key, /--key-prefix: /],
  [['export', ...access, 'a.example', '--key', 'x'], key, /missing flag: --chain\./],
  [['export', ...access, 'a.example', '--key', 'x', '--chain', './x'], key, /same file/],
  [['doctor', ...access, '--http-port', '0'], key, /--http-port must be a port/],
  [['doctor', ...access, '--http-port', '65536'], key, /--http-port must be a port/],
  [['doctor', ...access, '--http-port', '1e3'], key, /--http-port must be a port/],
  [['doctor', ...access, '--ca', '/nowhere/ca.pem'], key, /cannot read "\/nowhere\/ca\.pem"/],
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
      'Exit codes: 0 success',
    ])
      expect(stdout).toContain(part)
    expect(await runInProcess([command, '-h'])).toEqual({ code, stdout, stderr })
    expect(await runInProcess(['help', command])).toEqual({ code, stdout, stderr })
    const coversAllCas = command === 'ls' || command === 'clean'
    expect(stdout.includes("default: Let's Encrypt production")).toBe(!coversAllCas)
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
