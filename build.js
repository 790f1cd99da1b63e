// Makes dist: the types by tsc, which checks the sources, and the code by rolldown.
import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { rolldown } from 'rolldown'

process.chdir(import.meta.dirname)
rmSync('dist', { recursive: true, force: true })
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: 'inherit' })

// One file for what an import loads, and one for each thing that is loaded when it is needed: some forty files, as the
// sources are, take a process twice as long and half as much memory again. The entries share what they have in common,
// so that a StoreError is one class in all of them.
const bundle = await rolldown({
  input: {
    index: 'src/index.ts',
    's3/index': 'src/stores/s3/index.ts',
    'sql/index': 'src/stores/sql/index.ts',
    'testing/index': 'src/testing/index.ts',
    'cli/main': 'src/cli/main.ts',
  },
  // No dependency is copied.
  external: /^[@a-z]/,
  platform: 'node',
})
await bundle.write({ dir: 'dist', chunkFileNames: 'shared/[name].js' })
// So that npx runs it in a clone, too.
chmodSync('dist/cli/main.js', 0o755)
