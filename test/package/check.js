// Checks the package as users get it: packs it, runs publint and arethetypeswrong, installs it into an empty project,
// imports and requires it, runs its command, type-checks its users' code, and bundles it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { checkBundles } from './bundles.js'
import { installOnce } from './install.js'
import { checkTypes } from './types.js'

const root = new URL('../..', import.meta.url).pathname
const tools = join(root, 'test/package/tools')
const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-package-'))
const bin = (/** @type {string} */ name) => join(root, 'node_modules', '.bin', name)

/** Runs a program, and shows its output or, if `quiet`, returns it. */
function run(
  /** @type {string} */ program,
  /** @type {string[]} */ args,
  { cwd = folder, quiet = false } = {},
) {
  console.log(`$ ${program.replace(/^.*\//, '')} ${args.join(' ').replaceAll(folder, '.')}`)
  return execFileSync(program, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', quiet ? 'pipe' : 'inherit', 'inherit'],
  })
}

try {
  const packed = run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, quiet: true })
  // The build that runs first may also print.
  const [{ filename, files }] = JSON.parse(packed.slice(packed.search(/^\[/m)))
  const tarball = join(folder, filename)
  const stray = files.filter(
    (/** @type {{ path: string }} */ { path }) =>
      !/^(dist\/((s3|sql|cli|testing|shared)\/)?[\w-]+\.(js|d\.ts)|dist\/((s3|sql|testing)\/)?index\.(cjs|d\.cts)|[A-Z]+(\.md)?|docs\/[\w/-]+\.md|examples\/(README\.md|[\w-]+\/[\w.-]+)|package\.json)$/.test(
        path,
      ),
  )
  const packedPaths = files.map((/** @type {{ path: string }} */ { path }) => path)
  const broken = brokenLinks(packedPaths)
  if (broken.length > 0) throw new Error(`links that lead to nothing in the package: ${broken.join(', ')}`)
  if (stray.length > 0) throw new Error(`not meant to be published: ${JSON.stringify(stray)}`)
  // One for each entry, and one for the types that entries share.
  const declarations = ['index', 's3/index', 'shared/cert-cache', 'sql/index', 'testing/index']
  const packedDeclarations = files
    .map((/** @type {{ path: string }} */ { path }) => path)
    .filter((/** @type {string} */ path) => path.endsWith('.d.ts'))
    .sort()
  if (packedDeclarations.join() !== declarations.map((name) => `dist/${name}.d.ts`).join()) {
    throw new Error(`unexpected declaration files: ${JSON.stringify(packedDeclarations)}`)
  }
  run(bin('publint'), ['--strict', tarball])
  run(bin('attw'), ['--profile', 'strict', tarball])

  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  run('npm', ['install', '--no-audit', '--no-fund', tarball])
  // Only the S3 store imports a peer dependency.
  const peer = '@aws-sdk/client-s3'
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const names = {
    'acme-cert-cache': ['AzureBlobCertCache', 'CertManager', 'DirCertCache', 'LruCertCache', 'StoreError'],
    'acme-cert-cache/sql': ['SqlCertCache'],
    'acme-cert-cache/s3': ['S3CertCache'],
    'acme-cert-cache/testing': ['MemoryCertCache', 'TestCa', 'certCacheContract', 'selfSignedCertificate'],
  }
  const withoutPeer = Object.keys(names).filter((path) => path !== 'acme-cert-cache/s3')
  run(process.execPath, [
    '--input-type=module',
    '--eval',
    withoutPeer.map((path) => `import '${path}'`).join('\n'),
  ])
  run('npm', ['install', '--no-audit', '--no-fund', `${peer}@${devDependencies[peer]}`])
  const check = `for (const [path, names] of Object.entries(${JSON.stringify(names)}))
  for (const name of names) if (typeof api[path][name] !== 'function') throw new Error(path + ' lacks ' + name)`
  const paths = JSON.stringify(Object.keys(names))
  writeFileSync(
    join(folder, 'imports.mjs'),
    `const api = {}\nfor (const path of ${paths}) api[path] = await import(path)\n${check}\n`,
  )
  writeFileSync(
    join(folder, 'requires.cjs'),
    `const api = {}\nfor (const path of ${paths}) api[path] = require(path)\n${check}\n`,
  )
  run(process.execPath, ['imports.mjs'])
  run(process.execPath, ['requires.cjs'])
  for (const args of [['--help'], ['ls', '--help']]) {
    const help = run('npx', ['--no-install', 'acme-cert-cache', ...args], { quiet: true })
    if (!help.startsWith('Usage: acme-cert-cache ')) throw new Error(`the command says ${help}`)
  }

  run('npm', ['install', '--no-audit', '--no-fund', '@types/node@20'])
  installOnce(tools)
  const typescript = 'node_modules/typescript/bin/tsc'
  checkTypes(folder, {
    old: join(tools, typescript),
    current: join(root, typescript),
    typeRoots: join(tools, 'node_modules/@types'),
  })
  await checkBundles(folder, createRequire(join(tools, 'package.json')))
  console.log('The package is sound.')
} finally {
  rmSync(folder, { recursive: true })
}

/** Returns the links of the packed pages whose targets are not packed. */
function brokenLinks(/** @type {readonly string[]} */ paths) {
  return paths
    .filter((path) => path.endsWith('.md') && !path.startsWith('docs/api/'))
    .flatMap((page) =>
      [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https:|mailto:|#)([^)#\s]+)/g)].flatMap(
        ([, link]) => {
          const target = posix.join(page, '..', String(link))
          const isPacked = paths.some(
            (path) => path === target || path.startsWith(`${target.replace(/\/$/, '')}/`),
          )
          return isPacked ? [] : [`${page}: ${link}`]
        },
      ),
    )
}
