// Bundles a small program that places an order, with every common bundler, as ESM and as CommonJS, and runs each bundle
// in a folder without node_modules.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

/** Its argument is the step to end with. */
const program = `import { createServer } from 'node:http'
import { AzureBlobCertCache, CertManager } from 'acme-cert-cache'
import { MemoryCertCache, TestCa } from 'acme-cert-cache/testing'

const [, , step] = process.argv
if (step === 'connect') {
  // No server listens on this port.
  const endpoint = 'http://127.0.0.1:1/account'
  const options = { accountName: 'account', accountKey: 'a2V5', containerName: 'certs', endpoint, timeoutMs: 1_000 }
  AzureBlobCertCache.connect(options).catch((error) => console.log(error.code ?? error.message))
} else {
  const server = createServer()
  server.listen(0, '127.0.0.1', async () => {
    const ca = await TestCa.start({ httpPort: server.address().port })
    const manager = new CertManager({
      cache: new MemoryCertCache(),
      hostPolicy: ['a.example'],
      acme: { termsOfServiceAgreed: true, directoryUrl: ca.directoryUrl, ca: ca.endpointCertificate },
    })
    server.on('request', manager.httpHandler())
    setTimeout(async () => {
      console.log('started')
      if (step === 'order') {
        await manager.getCertificate('a.example')
        console.log('ordered')
      }
      await Promise.all([manager.close(), ca.close()])
      server.close()
    }, 500)
  })
}
`

/** What to mark as external. */
const dependencies = ['acme-client', '@azure/storage-blob']

/** @typedef {{ entry: string, outdir: string, format: 'esm' | 'cjs', file: string }} Build */

/** @returns {Record<string, (build: Build) => Promise<unknown>>} */
function bundlers(/** @type {NodeJS.Require} */ load) {
  const esbuild = load('esbuild')
  const webpack = load('webpack')
  const { rollup } = load('rollup')
  const { nodeResolve } = load('@rollup/plugin-node-resolve')
  const commonjs = load('@rollup/plugin-commonjs')
  const json = load('@rollup/plugin-json')
  /** @type {(options: object) => (build: Build) => Promise<unknown>} */
  const withEsbuild =
    (options) =>
    ({ entry, outdir, format, file }) =>
      esbuild.build({
        entryPoints: [entry],
        outfile: join(outdir, file),
        bundle: true,
        platform: 'node',
        format,
        logLevel: 'error',
        ...options,
      })
  /** @type {(options: object) => (build: Build) => Promise<unknown>} */
  const withWebpack =
    (options) =>
    ({ entry, outdir, format, file }) =>
      new Promise((resolve, reject) => {
        const output =
          format === 'esm'
            ? { module: true, library: { type: 'module' }, chunkFormat: 'module' }
            : { library: { type: 'commonjs2' } }
        const configuration = {
          mode: 'production',
          target: 'node20',
          entry,
          experiments: { outputModule: format === 'esm' },
          output: { path: outdir, filename: file, ...output },
          performance: false,
          ...options,
        }
        webpack(configuration, (/** @type {unknown} */ error, /** @type {any} */ stats) =>
          error || stats.hasErrors()
            ? reject(error ?? new Error(stats.toString('errors-only')))
            : resolve(stats),
        )
      })
  // Other names than those in the bundled code.
  const esm = `import { createRequire as createBundleRequire } from 'node:module'
const require = createBundleRequire(import.meta.url)`
  const cjs = `const bundleUrl = require('node:url').pathToFileURL(__filename).href`
  return {
    esbuild: withEsbuild({}),
    'esbuild with a banner': (build) =>
      build.format === 'esm'
        ? withEsbuild({ banner: { js: esm } })(build)
        : withEsbuild({ banner: { js: cjs }, define: { 'import.meta.url': 'bundleUrl' } })(build),
    'esbuild with externals': withEsbuild({ external: dependencies }),
    webpack: withWebpack({}),
    'webpack with externals': withWebpack({ externals: dependencies }),
    rollup: async ({ entry, outdir, format, file }) => {
      const plugins = [nodeResolve({ preferBuiltins: true, exportConditions: ['node'] }), commonjs(), json()]
      const bundle = await rollup({ input: entry, plugins, onwarn: () => undefined })
      await bundle.write({ dir: outdir, format, entryFileNames: file })
    },
    rolldown: async ({ entry, outdir, format, file }) => {
      const bundle = await rolldown({ input: entry, platform: 'node' })
      await bundle.write({ dir: outdir, format, entryFileNames: file })
    },
  }
}

/** The bundles that cannot load a dependency. Each has to fail at start, with a message that names the dependency. */
const broken = {
  'acme-client': ['esbuild esm'],
  '@azure/storage-blob': ['esbuild esm', 'esbuild cjs', 'webpack esm', 'webpack cjs'],
}

/**
 * @param {string} project a folder with the package installed
 * @param {NodeJS.Require} load loads the bundlers
 */
export async function checkBundles(project, load) {
  const entry = join(project, 'program.mjs')
  writeFileSync(entry, program)
  const folder = mkdtempSync(join(tmpdir(), 'acme-cert-cache-bundles-'))
  try {
    for (const [name, bundle] of Object.entries(bundlers(load))) {
      for (const format of /** @type {const} */ (['esm', 'cjs'])) {
        const label = `${name} ${format}`
        const outdir = join(folder, label.replaceAll(' ', '-'))
        mkdirSync(outdir)
        const file = format === 'esm' ? 'bundle.mjs' : 'bundle.cjs'
        await bundle({ entry, outdir, format, file })
        if (name.endsWith('with externals'))
          symlinkSync(join(project, 'node_modules'), join(outdir, 'node_modules'), 'junction')
        console.log(`${label}: ${checkBundle(label, outdir, file)}`)
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @returns what the bundle does, if that is what it should do */
function checkBundle(/** @type {string} */ label, /** @type {string} */ cwd, /** @type {string} */ file) {
  const run = (/** @type {string} */ step) => {
    const { stdout, stderr } = spawnSync(process.execPath, [file, step], {
      cwd,
      encoding: 'utf8',
      timeout: 60_000,
    })
    return `${stdout}${stderr}`.trim()
  }
  const advice = (/** @type {string} */ name) =>
    `mark "${name}" as external and install it next to the bundle`
  const canOrder = !broken['acme-client'].includes(label)
  const order = run(canOrder ? 'order' : 'start')
  if (
    canOrder
      ? order !== 'started\nordered'
      : order.includes('started') || !order.includes(advice('acme-client'))
  )
    throw new Error(
      `${label}: it should ${canOrder ? 'place an order' : 'fail at start'}, but printed\n${order}`,
    )
  const canConnect = !broken['@azure/storage-blob'].includes(label)
  const connect = run('connect')
  if (canConnect ? connect !== 'ERR_STORE_UNREACHABLE' : !connect.includes(advice('@azure/storage-blob')))
    throw new Error(
      `${label}: it should ${canConnect ? 'load' : 'advise on'} the Azure SDK, but printed\n${connect}`,
    )
  return `${canOrder ? 'places an order' : 'fails at start'}, ${canConnect ? 'loads' : 'fails to load'} the Azure SDK`
}
