import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { runCli } from '../support/cli.js'
import { oneLine } from './one-line.js'

const access = ['--container', 'certs', '--account', 'fleet']

/** Installs the built package beside its dependencies, without any optional peer. */
async function install() {
  const folder = await mkdtemp(join(tmpdir(), 'acme-cert-cache-installed-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const modules = join(folder, 'node_modules')
  const home = join(modules, 'acme-cert-cache')
  await cp(join(root, 'dist'), join(home, 'dist'), { recursive: true })
  await cp(join(root, 'package.json'), join(home, 'package.json'))
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(root, 'node_modules', name), join(modules, name))
  }
  return { bin: join(home, 'dist/cli/main.js'), identity: join(modules, '@azure/identity') }
}

test('the error without credentials and @azure/identity names the variable to set and the package to install', async () => {
  const { bin, identity } = await install()
  expect(await runCli(['ls', ...access], { bin })).toEqual({
    code: 1,
    stdout: '',
    stderr: oneLine(/Set AZURE_STORAGE_KEY.*install @azure\/identity/),
  })
  expect(await runCli(['--version'], { bin })).toMatchObject({ code: 0 })
  const ignored = { AZURE_STORAGE_CONNECTION_STRING: 'UseDevelopmentStorage=true' }
  const notUsed = oneLine(/AZURE_STORAGE_CONNECTION_STRING is ignored because --account/)
  expect(await runCli(['ls', ...access], { bin, env: ignored })).toMatchObject({ code: 1, stderr: notUsed })

  // As on a machine without an Azure login.
  await mkdir(identity)
  await writeFile(join(identity, 'package.json'), '{ "type": "module", "main": "index.js" }')
  const source = `export class DefaultAzureCredential {
  async getToken() { throw Object.assign(new Error('tried in vain\\n  this and that'), { name: 'ChainError' }) }
}`
  await writeFile(join(identity, 'index.js'), source)
  expect(await runCli(['ls', ...access], { bin })).toMatchObject({
    code: 1,
    stderr: oneLine(/ChainError: tried in vain\)?\. Set AZURE_STORAGE_KEY.* log in with "az login"\./),
  })
  expect(await runCli(['ls', ...access], { bin, env: ignored })).toMatchObject({ code: 1, stderr: notUsed })
})
