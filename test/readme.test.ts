import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** Declares the values that the recipes use from the README's first code. */
const globals = `
import type { CertCache, CertManager } from 'acme-cert-cache'
declare global {
  const cache: CertCache
  const manager: CertManager
  const app: import('node:http').RequestListener
  const accountName: string, accountKey: string
  const db: { query(sql: string, values: unknown[]): Promise<{ rowCount: number }> }
  function orderWithAcmeClient(host: string): Promise<Uint8Array>
  function isDueForRenewal(data: Uint8Array): boolean
}
`
const azureIdentity = `declare module '@azure/identity' {
  export class DefaultAzureCredential {
    getToken(scopes: string | string[]): Promise<{ token: string; expiresOnTimestamp: number }>
  }
}`

test('every code block in the README type-checks', () => {
  const snippets = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, code]) => code as string)
  expect(snippets.length).toBeGreaterThan(10)
  mkdirSync(join(root, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(root, '.cache', 'readme-'))
  try {
    const files = snippets.map((code, index) => {
      const name = `snippet-${index}.mts`
      writeFileSync(join(folder, name), `${code}\nexport {}\n`)
      return name
    })
    writeFileSync(join(folder, 'globals.mts'), globals)
    writeFileSync(join(folder, 'identity.d.ts'), azureIdentity)
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2022',
      types: ['node'],
      strict: true,
      noImplicitAny: false,
      skipLibCheck: true,
      noEmit: true,
    }
    const config = { compilerOptions, files: [...files, 'globals.mts', 'identity.d.ts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(root, 'node_modules', '.bin', 'tsc')
    const { stdout, status } = spawnSync(tsc, ['-p', folder], { encoding: 'utf8' })
    expect(stdout).toBe('')
    expect(status).toBe(0)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the README contains no placeholder', () => {
  expect(readme).not.toMatch(/@@|TODO|FIXME/)
})

test('every link within the README has a target', () => {
  const anchors = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    (title as string)
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
  const links = [...readme.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor as string)
  expect(links.length).toBeGreaterThan(10)
  expect(links.filter((link) => !anchors.includes(link))).toEqual([])
})

test('the README lists every event', () => {
  const source = readFileSync(join(root, 'src/manager/events.ts'), 'utf8')
  const events = [...source.matchAll(/^ {2}(\w+): \[/gm)].map(([, name]) => name)
  expect(events).toHaveLength(12)
  for (const event of events) expect(readme).toContain(`\`${event}\``)
})

test('the README lists every error code', () => {
  const source = readFileSync(join(root, 'src/util/errors.ts'), 'utf8')
  const codes = new Set([...source.matchAll(/'(ERR_\w+)'/g)].map(([, code]) => code as string))
  expect(codes.size).toBe(19)
  for (const code of codes) expect(readme).toContain(`\`${code}\``)
})
