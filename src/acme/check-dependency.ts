import { importDependency } from '../util/lazy.js'

/**
 * Starts to load acme-client, and ends the process if it is missing, as in an ES module that esbuild bundled. Without
 * this check, the first order would fail, perhaps months after the deployment.
 *
 * Any other error, such as EMFILE, is ignored here: the first order tries again.
 */
export function checkAcmeClient(): void {
  importDependency('acme-client', () => import('acme-client')).catch((error: Error) => {
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
