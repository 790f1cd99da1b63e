import type { SecureContext } from 'node:tls'

/** Undocumented in Node 20 to 26: what `server.addContext()` has added, the name as a pattern. */
export interface ServerWithContexts {
  readonly _contexts?: readonly (readonly [RegExp, SecureContext])[]
}

/**
 * Returns the context that the application has added for a name by `server.addContext()`; of several, the last, as in
 * Node's own SNICallback, which ours replaces.
 */
export function ownContext(
  server: ServerWithContexts | undefined,
  servername: string,
): SecureContext | undefined {
  const contexts = server?._contexts
  return contexts?.length ? contexts.findLast(([pattern]) => pattern.test(servername))?.[1] : undefined
}
