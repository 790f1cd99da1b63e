import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { examples } from './programs.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (path: string) => readFileSync(join(examples, path), 'utf8')
const names = readdirSync(examples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
  .map(({ name }) => name)
const files = names.flatMap((name) => readdirSync(join(examples, name)).map((file) => `${name}/${file}`))

test('every example has a line in the README, and every line an example', () => {
  const lines = [...read('README.md').matchAll(/^\| \[([\w-]+)\]\(([\w./-]+)\) \|/gm)]
  expect(lines.map(([, name]) => name as string).sort()).toEqual([...names].sort())
  for (const [, , file] of lines) expect(files).toContain(file)
})

test('every variable that an example reads is in the README', () => {
  const readme = read('README.md')
  for (const file of files.filter((path) => path.endsWith('server.js'))) {
    const [, ...declarations] = read(file).split('const {')
    const variables = declarations
      .filter((text) => /^[^}]*\} = process\.env$/m.test(text.split('\n', 1)[0] as string))
      .flatMap((text) => (text.split('}', 1)[0] as string).match(/\b[A-Z][A-Z\d_]+\b/g) ?? [])
    expect(variables.length).toBeGreaterThan(2)
    for (const variable of variables) expect(readme, file).toContain(`\`${variable}\``)
  }
})

test('no example is longer than 45 lines', () => {
  expect(files.filter((file) => read(file).split('\n').length > 46)).toEqual([])
})

test('every example type-checks', () => {
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  const { stdout, status } = spawnSync(tsc, ['-p', examples], { encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(status).toBe(0)
})

test('the lock file names no registry but npm’s', () => {
  const urls = [...read('package-lock.json').matchAll(/"resolved": "([^"]*)"/g)].map(([, url]) => url)
  expect(urls.filter((url) => url !== '..' && !url?.startsWith('https://registry.npmjs.org/'))).toEqual([])
})

test('the systemd unit starts a program, and may listen on ports 80 and 443', () => {
  const unit = read('systemd/web.service')
  for (const line of unit.split('\n')) expect(line).toMatch(/^(|#.*|\[(Unit|Service|Install)\]|[A-Z]\w+=.+)$/)
  expect(unit).toMatch(/^ExecStart=\/usr\/bin\/node server\.js$/m)
  expect(unit).toMatch(/^AmbientCapabilities=CAP_NET_BIND_SERVICE$/m)
  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
  if (!hasSystemd) return
  const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-unit-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'web.service')
  // It also checks that the program exists.
  writeFileSync(file, unit.replace('/usr/bin/node', process.execPath))
  expect(execFileSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })).toBe('')
})

test('the compose file runs two servers of the https example, with the variables that it reads', () => {
  const { services, volumes, configs } = parse(read('docker-compose/compose.yaml'))
  const { web, balancer, azurite } = services
  expect(web.command).toBe('node https/server.js')
  const program = read('https/server.js')
  for (const variable of Object.keys(web.environment)) expect(program).toContain(variable)
  expect(web.environment.AZURE_STORAGE_CONNECTION_STRING).toMatch(/;BlobEndpoint=http:\/\/azurite:10000\//)
  const [source] = web.volumes[0].split(':')
  expect(existsSync(join(examples, 'docker-compose', source, 'examples', 'https', 'server.js'))).toBe(true)
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  expect(azurite.image).toBe(
    `mcr.microsoft.com/azure-storage/azurite:${packages['node_modules/azurite'].version}`,
  )
  expect(web.deploy.replicas).toBe(2)
  expect(balancer.ports).toEqual(['80:80', '443:443'])
  for (const port of [80, 443])
    expect(configs[balancer.configs[0].source].content).toContain(`listen ${port}; proxy_pass web:${port};`)
  for (const { depends_on = [] } of [web, balancer])
    for (const service of depends_on) expect(services).toHaveProperty([service])
  for (const volume of azurite.volumes) expect(volumes).toHaveProperty([volume.split(':')[0]])
})
