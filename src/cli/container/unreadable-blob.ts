import { StoreError } from '../../util/errors.js'

/**
 * Why the service does not give out this blob, while it gives out others: `BlobArchived`, say. `undefined` for anything
 * else that was thrown.
 */
export function unreadable(thrown: unknown): string | undefined {
  if (!(thrown instanceof StoreError) || thrown.statusCode !== 409) return undefined
  const { code } = Object(thrown.cause) as { code?: unknown }
  return typeof code === 'string' ? code : 'status 409'
}
