// Compares the public API, the packed declarations without their comments, with its record in api/*.d.ts. A difference
// fails, so that every change of the API shows in a commit. `--update` records the current API.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import ts from '@typescript/typescript6'

const root = join(import.meta.dirname, '../..')
const dist = join(root, 'dist')
const recorded = join(root, 'api')
const printer = ts.createPrinter({ removeComments: true })

/** Writes every declaration file of dist, without comments, into a folder. */
function record(/** @type {string} */ folder) {
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' })
  for (const file of files.filter((name) => name.endsWith('.d.ts'))) {
    const path = join(folder, file)
    const text = readFileSync(join(dist, file), 'utf8')
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, printer.printFile(source))
  }
}

const current = mkdtempSync(join(tmpdir(), 'acme-cert-cache-api-'))
try {
  if (process.argv.includes('--update')) {
    rmSync(recorded, { recursive: true, force: true })
    record(recorded)
    console.log('api/ records the public API as it is now.')
  } else {
    mkdirSync(recorded, { recursive: true })
    record(current)
    // Lines with "-" are recorded, lines with "+" are in dist.
    const args = ['diff', '--no-index', '--no-ext-diff', '--src-prefix=', '--dst-prefix=', recorded, current]
    execFileSync('git', args, { stdio: 'inherit' })
    console.log('The public API is as api/ records it.')
  }
} catch (error) {
  if (!(error instanceof Error && 'status' in error && error.status === 1)) throw error
  console.error(
    'The public API differs from api/ as shown above ("-": recorded, "+": now).\n' +
      'If the change is intended, run `npm run check:api -- --update`, commit api/, and add it to CHANGELOG.md.',
  )
  process.exitCode = 1
} finally {
  rmSync(current, { recursive: true, force: true })
}
