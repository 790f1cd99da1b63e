// Type-checks each ```js and ```ts block of the documentation as a module of its own, against the built package and the
// packages that examples/ installs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installOnce } from './install.js'

const root = join(import.meta.dirname, '../..')
const examples = join(root, 'examples')

/** Declares the values that snippets use without declaring them. */
const globals = `import type { RequestListener } from 'node:http'
import type { CertCache, CertManager } from 'acme-cert-cache'
import type { TestCa } from 'acme-cert-cache/testing'
import type { Logger } from 'pino'
declare global {
  const cache: CertCache
  const manager: CertManager
  const ca: TestCa
  const app: RequestListener
  const logger: Logger
  const db: { query(sql: string, values?: readonly unknown[]): Promise<{ rowCount: number }> }
  const accountName: string
  const accountKey: string
}
`
/** Packages that examples/ does not install. test/servers has typed programs for them. */
const untyped = ['http-proxy', 'smtp-server', 'socket.io']
  .map((name) => `declare module '${name}'\n`)
  .join('')
const compilerOptions = {
  module: 'nodenext',
  target: 'es2022',
  lib: ['es2023', 'esnext.disposable'],
  types: ['node'],
  strict: true,
  noImplicitAny: false,
  // NestJS.
  experimentalDecorators: true,
  allowJs: true,
  checkJs: true,
  skipLibCheck: true,
  noEmit: true,
  pretty: false,
}

/** @typedef {{ page: string, line: number, indent: number, language: string, code: string }} Snippet `line`: of the first line of code */

const pages = [
  ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'examples/README.md'],
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((path) => `docs/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.md') && !/^docs\/(api|tools)\//.test(path))
    .sort(),
].filter((page) => existsSync(join(root, page)))
const snippets = pages.flatMap((page) => snippetsOf(page, readFileSync(join(root, page), 'utf8')))
const errors = check(snippets)
for (const error of errors) console.error(error)
console.log(`${snippets.length} snippets on ${pages.length} pages, ${errors.length} errors`)
process.exitCode = errors.length === 0 && snippets.length > 10 ? 0 : 1

/** @returns {Snippet[]} */
function snippetsOf(/** @type {string} */ page, /** @type {string} */ text) {
  /** @type {Snippet[]} */
  const found = []
  /** @type {{ fence: string, snippet: Snippet | undefined } | undefined} */
  let block
  for (const [index, content] of text.split('\n').entries()) {
    const [, indent = '', fence = '', language = ''] = /^(\s*)(`{3,})(\w*)/.exec(content) ?? []
    if (!block && fence) {
      const isCode = language === 'js' || language === 'ts'
      const snippet = { page, line: index + 2, indent: indent.length, language, code: '' }
      block = { fence, snippet: isCode ? snippet : undefined }
    } else if (block && fence === block.fence && language === '') {
      if (block.snippet) found.push(block.snippet)
      block = undefined
    } else if (block?.snippet) {
      block.snippet.code += `${content.slice(block.snippet.indent)}\n`
    }
  }
  if (block) throw new Error(`${page}: a code block has no end`)
  return found
}

/** @returns the compiler's errors, each with the page and the line of the page */
function check(/** @type {readonly Snippet[]} */ list) {
  if (existsSync(examples)) installOnce(examples)
  const cache = join(examples, '.cache')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'snippets-'))
  try {
    /** @type {Map<string, Snippet>} */
    const files = new Map()
    for (const [index, snippet] of list.entries()) {
      const name = `snippet-${index}.m${snippet.language}`
      writeFileSync(join(folder, name), `${snippet.code}export {}\n`)
      files.set(name, snippet)
    }
    writeFileSync(join(folder, 'globals.mts'), globals)
    writeFileSync(join(folder, 'untyped.d.ts'), untyped)
    const config = { compilerOptions, files: [...files.keys(), 'globals.mts', 'untyped.d.ts'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', '.'], {
      cwd: folder,
      encoding: 'utf8',
    })
    const lines = stdout.split('\n').filter(Boolean)
    if (status !== 0 && lines.length === 0) throw new Error('tsc failed without a message')
    return lines.map((text) => {
      const [, name = '', line = '', message = ''] = /^([\w.-]+)\((\d+),\d+\): (.*)$/.exec(text) ?? []
      const snippet = files.get(name)
      // A continuation of the message before.
      if (!snippet) return `  ${text}`
      return `${snippet.page}:${snippet.line + Number(line) - 1}: ${message}`
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
