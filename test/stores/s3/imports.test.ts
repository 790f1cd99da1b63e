import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const directory = new URL('../../../src/', import.meta.url)
const sources = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }))
const importers = (what: RegExp) => sources.filter(({ text }) => what.test(text)).map(({ name }) => name)

test('the SDK is imported by one file', () => {
  expect(importers(/(from |import\()'@aws-sdk/)).toEqual(['s3/s3-objects.ts'])
})

test('nothing outside its subpath imports the store', () => {
  expect(importers(/(from |import\()'[./]+\/s3\//)).toEqual([])
})

test('no file is longer than 300 lines', () => {
  const ours = sources.filter(({ name }) => name.startsWith('s3/'))
  expect(ours.length).toBeGreaterThan(3)
  expect(ours.filter(({ text }) => text.split('\n').length > 301).map(({ name }) => name)).toEqual([])
})
