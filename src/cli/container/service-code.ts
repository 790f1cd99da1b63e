import { StoreError, toError } from '../../util/errors.js'

/** Returns the service's error code, such as `BlobArchived`, or the status of a response without one. */
export function serviceCode(thrown: unknown): string {
  const { cause, statusCode } = toError(thrown) as StoreError
  const { code } = Object(cause) as { code?: unknown }
  return typeof code === 'string' ? code : `status ${statusCode}`
}

/**
 * Returns the code of a response with status 409: the state of this one blob prevents the operation. Returns `undefined`
 * for any other error.
 */
export const conflictCode = (thrown: unknown): string | undefined =>
  thrown instanceof StoreError && thrown.statusCode === 409 ? serviceCode(thrown) : undefined
