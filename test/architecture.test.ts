import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const directory = new URL('../src/', import.meta.url)
const read = (folder: URL) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }))
const sources = read(directory)
const command = read(new URL('cli/', directory))

test.each([
  ['acme-client', ['acme.ts']],
  ['lru-cache', ['lru.ts']],
  ['@azure/storage-blob', ['azure-connect.ts']],
  ['@peculiar/x509', ['acme-renewal-info.ts', 'challenge-certificate.ts']],
])('%s is imported by one file', (dependency, importers) => {
  const imports = new RegExp(`(from |import\\()'${dependency}'`)
  expect(sources.filter(({ text }) => imports.test(text)).map(({ name }) => name)).toEqual(importers)
})

test.each(['acme-client', '@peculiar/x509', './azure-connect.js', './issuance.js'])(
  '%s is loaded when it is needed, not by the import of the package',
  (name) => {
    const statically = new RegExp(`^(import|export) (?!type )[^'()]*'${name.replaceAll('.', '\\.')}'`, 'm')
    expect(sources.filter(({ text }) => statically.test(text)).map((source) => source.name)).toEqual([])
  },
)

test('nothing that the main entry loads comes from what is for tests', () => {
  expect(sources.filter(({ text }) => /'\.\/testing\//.test(text)).map(({ name }) => name)).toEqual([])
})

test('the command is loaded by nothing else, and imports no dependency itself', () => {
  expect(sources.filter(({ text }) => /'[./]*\/cli\//.test(text)).map(({ name }) => name)).toEqual([])
  expect(
    command.filter(({ text }) => /(from |import\()'(?!node:|\.)/.test(text)).map(({ name }) => name),
  ).toEqual([])
})

test('no file is longer than 300 lines', () => {
  const all = [...sources, ...command]
  expect(all.filter(({ text }) => text.split('\n').length > 301).map(({ name }) => name)).toEqual([])
})
