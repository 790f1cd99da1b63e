import { importDependency, type Lazy, lazy } from '../util/lazy.js'

export type { Authorization, Client, Order } from 'acme-client'

/** Loads acme-client: 125 ms and 26 MB. */
export const loadAcmeClient: Lazy<typeof import('acme-client')> = lazy(() =>
  importDependency('acme-client', () => import('acme-client')),
)

/** Loads the reader and writer of certificates. */
export const loadX509: Lazy<typeof import('@peculiar/x509')> = lazy(() =>
  importDependency('@peculiar/x509', () => import('@peculiar/x509')),
)

/**
 * Starts to load the dependencies of an order, and ends the process if one is missing, as in an ES module that esbuild
 * bundled. Without this check, the first order would fail, perhaps months after the deployment.
 *
 * Any other error, such as EMFILE, is ignored here: the first order tries again.
 */
export function loadDependencies(): void {
  for (const load of [loadAcmeClient, loadX509])
    load().catch((error: Error) => {
      if (isMissing(error.cause))
        process.nextTick(() => {
          throw error
        })
    })
}

/**
 * Whether a module is missing, or was bundled into an ES module although it calls `require`: Node has no `require` there
 * ("require is not defined"), and esbuild replaces it ("Dynamic require of … is not supported").
 */
function isMissing(cause: unknown): boolean {
  const { code, message } = Object(cause) as { code?: unknown; message?: unknown }
  return String(code).endsWith('MODULE_NOT_FOUND') || /\brequire\b/.test(String(message))
}
