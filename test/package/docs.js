// Writes the API reference, docs/api, from the doc comments with TypeDoc. `--check` compares it with docs/api instead.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { installOnce } from './install.js'

const root = join(import.meta.dirname, '../..')
const reference = join(root, 'docs/api')
const tools = join(root, 'docs/tools')

/** The source of each entry, by the name that users import. */
const entries = {
  'acme-cert-cache': 'src/index.ts',
  'acme-cert-cache/s3': 'src/stores/s3/index.ts',
  'acme-cert-cache/sql': 'src/stores/sql/index.ts',
  'acme-cert-cache/testing': 'src/testing/index.ts',
}

/** Runs TypeDoc, which fails on a broken `@link`, and on an export without a comment. */
function generate(/** @type {string} */ target, /** @type {string} */ scratch) {
  // TypeDoc names a module after its file: a file for each entry, with the entry's name, that exports its source.
  const files = Object.entries(entries).map(([name, source]) => {
    const file = join(scratch, `${name}.ts`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `export * from '${join(root, source).replace(/\.ts$/, '.js')}'\n`)
    return file
  })
  const tsconfig = join(scratch, 'tsconfig.json')
  writeFileSync(tsconfig, JSON.stringify({ extends: join(root, 'tsconfig.json'), include: ['.'] }))
  const args = ['--options', join(tools, 'typedoc.json'), '--tsconfig', tsconfig, '--basePath', scratch]
  const typedoc = join(tools, 'node_modules/typedoc/bin/typedoc')
  execFileSync(process.execPath, [typedoc, ...args, '--out', target, ...files], {
    cwd: tools,
    stdio: 'inherit',
  })
}

mkdirSync(join(root, '.cache'), { recursive: true })
const scratch = mkdtempSync(join(root, '.cache', 'docs-'))
try {
  installOnce(tools)
  if (process.argv.includes('--check')) {
    const current = join(scratch, 'api')
    generate(current, scratch)
    mkdirSync(reference, { recursive: true })
    // Lines with "-" are in docs/api, lines with "+" are what TypeDoc writes now.
    const args = ['diff', '--no-index', '--no-ext-diff', '--src-prefix=', '--dst-prefix=', reference, current]
    execFileSync('git', args, { stdio: 'inherit' })
    console.log('docs/api is up to date.')
  } else {
    rmSync(reference, { recursive: true, force: true })
    generate(reference, scratch)
  }
} catch (error) {
  if (!(error instanceof Error && 'status' in error)) throw error
  console.error(
    process.argv.includes('--check')
      ? 'docs/api is not what TypeDoc writes now. Run `npm run docs`, and commit docs/api.'
      : 'TypeDoc failed, as shown above. Correct the doc comments that it names.',
  )
  process.exitCode = 1
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
