import { importDependency } from '../util/lazy.js'

/**
 * Ends the process if acme-client cannot be loaded, as in an ES module that esbuild bundled. Without this check, the
 * first order would fail, perhaps months after the deployment. Loads only a small file of acme-client, which requires
 * modules of Node as the others do.
 */
export function checkAcmeClient(): void {
  // @ts-expect-error: acme-client has no types for its files
  importDependency('acme-client', () => import('acme-client/src/logger.js')).catch((error: Error) => {
    const { code = 'MODULE_NOT_FOUND' } = error.cause as NodeJS.ErrnoException
    // Another code, such as EMFILE, may be gone at the first order.
    if (!code.endsWith('MODULE_NOT_FOUND')) return
    process.nextTick(() => {
      throw error
    })
  })
}
