// Builds dist: the code with rolldown; the types with tsc and rollup-plugin-dts.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { rolldown } from 'rolldown'
import { rollup } from 'rollup'
import { dts } from 'rollup-plugin-dts'

process.chdir(import.meta.dirname)
mkdirSync('.cache', { recursive: true })
const folder = mkdtempSync('.cache/build-')

/** The entries of package.json's `exports`, each with its source. */
const entries = {
  index: 'src/index.ts',
  's3/index': 'src/stores/s3/index.ts',
  'sql/index': 'src/stores/sql/index.ts',
  'testing/index': 'src/testing/index.ts',
}
// Dependencies and Node's own modules stay imports.
const external = /^[@a-z]/

// One file for each entry, and one for each module that is loaded on demand. The sources are some 170 files: loading
// them one by one doubles the time of an import and adds half to its memory. The entries share common code, so that
// StoreError is the same class in all of them.
const code = await rolldown({
  input: { ...entries, 'cli/main': 'src/cli/main.ts' },
  external,
  platform: 'node',
})
const { output: modules } = await code.write({
  dir: folder,
  chunkFileNames: 'shared/[name].js',
  // They are a third of the code. The declarations have the doc comments, which editors show.
  comments: { annotation: true, jsdoc: false, legal: true },
  codeSplitting: { groups: [{ name: 'core', test: isCore, minShareCount: 2 }] },
})
// npx runs the command in a clone, where no installation sets the mode.
chmodSync(join(folder, 'cli/main.js'), 0o755)

// tsc writes one declaration file per source; they become one per entry. Types that two entries need are declared once.
const declarations = join(folder, 'declarations')
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
const args = ['-p', 'tsconfig.build.json', '--outDir', declarations]
execFileSync(process.execPath, [tsc, ...args], { stdio: 'inherit' })
const input = Object.fromEntries(
  Object.entries(entries).map(([entry, source]) => [
    entry,
    source.replace('src', declarations).replace('.ts', '.d.ts'),
  ]),
)
const types = await rollup({ input, external, plugins: [dts()] })
const { output: declared } = await types.write({
  dir: folder,
  entryFileNames: '[name].d.ts',
  chunkFileNames: ({ name }) => `shared/${name.replace(/\.d$/, '')}.d.ts`,
  minifyInternalExports: false,
})
rmSync(declarations, { recursive: true })

// Node's require() loads ES modules, but TypeScript and some tools only accept a CommonJS file from CommonJS. The types
// are those of the ES module, so that a program may use both.
for (const entry of Object.keys(entries)) {
  const file = `./${basename(entry)}.js`
  writeFileSync(join(folder, `${entry}.cjs`), `module.exports = require('${file}')\n`)
  writeFileSync(join(folder, `${entry}.d.cts`), commonJsTypes(entry, file))
}

// File by file, each at once: other processes, such as the tests of a second `npm test`, may be using dist.
const files = filesIn(folder)
for (const file of files) {
  mkdirSync(dirname(join('dist', file)), { recursive: true })
  renameSync(join(folder, file), join('dist', file))
}
for (const file of filesIn('dist')) if (!files.includes(file)) rmSync(join('dist', file))
rmSync(folder, { recursive: true })

/** @typedef {readonly { fileName: string, exports?: string[], code?: string }[]} Output */

/** @returns declarations of everything that an entry exports, for CommonJS */
function commonJsTypes(/** @type {string} */ entry, /** @type {string} */ file) {
  const exportsOf = (/** @type {Output} */ output, /** @type {string} */ fileName) =>
    output.find((chunk) => chunk.fileName === fileName)?.exports ?? []
  const values = exportsOf(modules, `${entry}.js`)
  const types = exportsOf(declared, `${entry}.d.ts`).filter((name) => !values.includes(name))
  const isClass = (/** @type {string} */ name) =>
    declared.some((chunk) => 'code' in chunk && new RegExp(`\\bclass ${name}\\b`).test(chunk.code))
  const from = `'${file}' with { 'resolution-mode': 'import' }`
  return [
    `import type * as esm from ${from}`,
    ...values.map((name) => `export declare const ${name}: typeof esm.${name}`),
    ...values.filter(isClass).map((name) => `export type ${name} = esm.${name}`),
    `export type { ${types.join(', ')} } from ${from}`,
    '',
  ].join('\n')
}

/** Whether the entries share a module, and `index` loads it at once. Each further file costs 0.5 ms of the import. */
function isCore(/** @type {string} */ id) {
  const path = relative('src', id)
  return (
    /^(cache|certificates|util)\b/.test(path) || /^stores.azure.(azure-blob|errors|lease|retry)/.test(path)
  )
}

/** @returns the paths of the files in a folder and below it, relative to the folder */
function filesIn(/** @type {string} */ path) {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(path, join(entry.parentPath, entry.name)))
}
