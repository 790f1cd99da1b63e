import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const directory = new URL('../src/', import.meta.url)
const sources = readdirSync(directory)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }))

test.each([
  ['acme-client', ['acme.ts']],
  ['lru-cache', ['lru.ts']],
  ['@azure/storage-blob', ['azure-connect.ts']],
])('%s is imported by one file', (dependency, importers) => {
  const imports = new RegExp(`(from |import\\()'${dependency}'`)
  expect(sources.filter(({ text }) => imports.test(text)).map(({ name }) => name)).toEqual(importers)
})

test('the SDK and acme-client are loaded when they are needed, not by the import of the package', () => {
  const loads = (name: string, from: string) =>
    new RegExp(`^import (?!type )[^\\n]*'${name}'`, 'm').test(
      sources.find((source) => source.name === from)?.text ?? expect.unreachable(),
    )
  expect(loads('acme-client', 'acme.ts')).toBe(false)
  for (const { name, text } of sources) {
    expect(/^(import|export) (?!type )[^;]*?from '\.\/azure-connect\.js'/m.test(text), name).toBe(false)
  }
})

test('only the test CA is built on @peculiar/x509', () => {
  expect(sources.filter(({ text }) => text.includes('@peculiar/x509'))).toEqual([])
})

test('no file is longer than 300 lines', () => {
  expect(sources.filter(({ text }) => text.split('\n').length > 301).map(({ name }) => name)).toEqual([])
})
