// Checks what `import 'acme-cert-cache'` loads. Fails if it loads a dependency that is meant to be loaded on demand,
// too many files or bytes, or if it keeps too much on the heap. The time and the resident set depend on the machine and
// on the folder, so they are only printed.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { measureImports } from '../../bench/imports.js'

const root = join(import.meta.dirname, '../..')
const maxFiles = 6
// Our own modules are all loaded at once: one that is loaded on demand may meet a shortage of descriptors.
const maxBytes = 300_000
const maxHeapMiB = 3
const allowedPackages = ['lru-cache']

/** Returns the paths of the script files, ESM and CommonJS, that a process loads for the import. */
function loadedFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-imports-'))
  try {
    const args = ['--input-type=module', '--eval', `import 'acme-cert-cache'`]
    execFileSync(process.execPath, args, { cwd: root, env: { ...process.env, NODE_V8_COVERAGE: folder } })
    const files = readdirSync(folder).flatMap((file) => {
      /** @type {{ result: { url: string }[] }} */
      const { result } = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      return result.map(({ url }) => url).filter((url) => url.startsWith('file:') && !url.includes('[eval'))
    })
    return [...new Set(files)].map((url) => fileURLToPath(url))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const files = loadedFiles()
const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
const packages = new Set(files.map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]))
packages.delete(undefined)
const { ms, rssMiB, heapMiB } = measureImports().package

for (const file of files)
  console.log(`  ${String(statSync(file).size).padStart(7)} bytes  ${file.slice(root.length + 1)}`)
console.log(`${files.length} files (at most ${maxFiles}), ${bytes} bytes (at most ${maxBytes})`)
console.log(`${heapMiB.toFixed(2)} MiB of heap after a garbage collection (at most ${maxHeapMiB})`)
console.log(`not checked: ${ms.toFixed(1)} ms, RSS ${rssMiB.toFixed(1)} MiB`)

const failures = [
  ...[...packages]
    .filter((name) => !allowedPackages.includes(String(name)))
    .map((name) => `it loads ${name}`),
  ...(files.length === 0 ? ['it loads no file'] : []),
  ...(files.length > maxFiles ? [`it loads ${files.length} files`] : []),
  ...(bytes > maxBytes ? [`it loads ${bytes} bytes`] : []),
  ...(heapMiB > maxHeapMiB ? [`it keeps ${heapMiB.toFixed(2)} MiB of heap`] : []),
]
for (const failure of failures)
  console.error(`import 'acme-cert-cache': ${failure}. Import on demand what only some users need.`)
if (failures.length > 0) process.exitCode = 1
