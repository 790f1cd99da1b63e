import { StoreError } from '../../util/errors.js'

/**
 * Returns why the service does not return this one blob, for example `BlobArchived`; `undefined` for an error that is
 * not about the blob.
 */
export function unreadableReason(thrown: unknown): string | undefined {
  if (!(thrown instanceof StoreError) || thrown.statusCode !== 409) return undefined
  const { code } = Object(thrown.cause) as { code?: unknown }
  return typeof code === 'string' ? code : 'status 409'
}
