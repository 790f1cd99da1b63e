import { readFileSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { describe, expect, test } from 'vitest'
import { circles, type Import, imports, importsOf, sources } from './support/imports.js'

/** The rooms of `src`, from the top down. A file imports only its own room and rooms further down. */
const order = [
  ['index.ts'],
  ['cli'],
  ['manager'],
  ['server', 'issuance'],
  ['acme'],
  ['certificates'],
  ['stores', 'testing'],
  ['cache'],
  ['util'],
]

/** Separate entry points, which the rest of the package may not import. */
const entries = ['cli', 'testing', 'stores/s3', 'stores/sql']

/** The files that may import a dependency; the others go through them. */
const importers: Record<string, string[]> = {
  '@aws-sdk/client-s3': ['stores/s3/objects.ts'],
  '@azure/identity': ['cli/flags/connection.ts'],
  '@azure/storage-blob': ['stores/azure/connect.ts'],
  '@peculiar/x509': [
    'acme/dependencies.ts',
    'testing/ca/authority/operations.ts',
    'testing/ca/authority/validators.ts',
    'testing/ca/certificates/csr.ts',
    'testing/ca/certificates/issuer.ts',
    'testing/ca/certificates/self-signed.ts',
  ],
  'acme-client': ['acme/dependencies.ts'],
}

/** Loaded when they are needed, not by the import of the package: see bench/imports.js. */
const lazy = ['acme-client', '@peculiar/x509', '@azure/storage-blob']

const own = imports.filter(({ to }) => sources.has(to))
const rank = (file: string) => order.findIndex((rooms) => rooms.includes(file.split('/', 1)[0] as string))
const show = ({ from, to }: Import) => `${from} -> ${to}`

test('src contains exactly index.ts and the rooms in the order', () => {
  const rooms = new Set([...sources.keys()].map((file) => file.split('/', 1)[0]))
  expect([...rooms].sort()).toEqual(order.flat().sort())
})

test('no file is longer than 300 lines', () => {
  expect([...sources].filter(([, text]) => text.split('\n').length > 301).map(([file]) => file)).toEqual([])
})

test('no folder holds more than ten files', () => {
  const files = [...sources.keys()]
  const counts = new Map<string, number>()
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
  expect([...counts].filter(([, count]) => count > 10)).toEqual([])
})

describe('imports', () => {
  test('every relative import leads to a source file', () => {
    const files = imports.filter(({ to }) => to.endsWith('.ts') || to.startsWith('.'))
    expect(files.length).toBeGreaterThan(300)
    expect(files.filter(({ to }) => !sources.has(to)).map(show)).toEqual([])
  })

  test('form no cycle between files, type imports included', () => {
    expect(circles(own.map(({ from, to }) => [from, to]))).toEqual([])
  })

  test('form no cycle between folders', () => {
    expect(circles(own.map(({ from, to }) => [dirname(from), dirname(to)]))).toEqual([])
  })

  test('point only down the order of the rooms', () => {
    const sideways = ({ from, to }: Import) =>
      from.split('/', 1)[0] !== to.split('/', 1)[0] && rank(from) >= rank(to)
    expect(own.filter(sideways).map(show)).toEqual([])
  })

  test('of one store never point to another store', () => {
    const store = (file: string) => /^stores\/[^/]+/.exec(file)?.[0]
    const crossing = own.filter(({ from, to }) => store(from) && store(to) && store(from) !== store(to))
    expect(crossing.map(show)).toEqual([])
  })

  test.each(entries)('%s is not imported from outside', (folder) => {
    const outside = own.filter(
      ({ from, to }) => to.startsWith(`${folder}/`) && !from.startsWith(`${folder}/`),
    )
    expect(outside.map(show)).toEqual([])
  })

  test('of a dependency are in the files listed for it', () => {
    const found: Record<string, string[]> = {}
    for (const { from, to } of imports) {
      if (sources.has(to) || to.startsWith('node:') || to === 'lru-cache') continue
      found[to] = [...new Set([...(found[to] ?? []), from])].sort()
    }
    expect(found).toEqual(importers)
  })

  test.each(lazy)('of %s outside cli and testing are dynamic or type-only', (name) => {
    const eager = imports.filter(({ from, to, isType, isDynamic }) => {
      const loadsAtOnce = to === name && !isType && !isDynamic
      return loadsAtOnce && !/^(cli|testing)\//.test(from)
    })
    expect(eager.map(show)).toEqual([])
  })
})

test('CONTRIBUTING.md draws every dependency between rooms, except those on util', () => {
  const text = readFileSync(new URL('../CONTRIBUTING.md', import.meta.url), 'utf8')
  const drawn = [...text.matchAll(/^ {2}(\w+ --> \w+)$/gm)].map(([, arrow]) => arrow as string)
  const room = (file: string) => file.split('/', 1)[0] as string
  const between = own.filter(({ from, to }) => room(from) !== room(to) && room(to) !== 'util')
  const real = new Set(between.map(({ from, to }) => `${room(from)} --> ${room(to)}`))
  expect(drawn.sort()).toEqual([...real].filter((arrow) => !arrow.startsWith('index.ts')).sort())
})

test('CONTRIBUTING.md names files that exist', () => {
  const text = readFileSync(new URL('../CONTRIBUTING.md', import.meta.url), 'utf8')
  const named = [...text.matchAll(/`([a-z]+\/[\w/-]+\.ts)`/g)].map(([, name]) => name as string)
  expect(named.length).toBeGreaterThan(20)
  expect(named.filter((name) => !sources.has(name) && !name.startsWith('test/'))).toEqual([])
})

describe('the reader of imports', () => {
  test('finds every form of import', () => {
    const text = [
      "import './a.js'",
      "import type { A } from './b.js'",
      "import {\n  // why\n  type B,\n  c,\n} from '../d.js'",
      "export * from './e.js'",
      "export type { F } from 'lib'",
      "const g = await import(/* late */ './g.js')",
      'const h = await import(`./h.js`)',
      "type I = import('./i.js').I",
      "type J = typeof import('./j.js', { with: { 'resolution-mode': 'import' } })",
    ].join('\n')
    const eager = { from: 'room/file.ts', isType: false, isDynamic: false }
    expect(importsOf('room/file.ts', text)).toEqual([
      { ...eager, to: 'room/a.ts' },
      { ...eager, to: 'room/b.ts', isType: true },
      { ...eager, to: 'd.ts' },
      { ...eager, to: 'room/e.ts' },
      { ...eager, to: 'lib', isType: true },
      { ...eager, to: 'room/g.ts', isDynamic: true },
      { ...eager, to: 'room/h.ts', isDynamic: true },
      { ...eager, to: 'room/i.ts', isType: true },
      { ...eager, to: 'room/j.ts', isType: true },
    ])
  })

  test('rejects an import of a computed name', () => {
    expect(() => importsOf('room/file.ts', 'import(name)')).toThrow('name is not a literal')
  })

  test('finds cycles', () => {
    expect(
      circles([
        ['a', 'b'],
        ['b', 'c'],
        ['c', 'a'],
        ['c', 'd'],
        ['d', 'd'],
      ]),
    ).toEqual([['a', 'b', 'c']])
    expect(
      circles([
        ['a', 'b'],
        ['a', 'c'],
        ['b', 'c'],
      ]),
    ).toEqual([])
  })
})
