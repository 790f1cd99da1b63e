import type { Readable } from 'node:stream'
import { StoreError } from '../util/errors.js'
import { maxValueBytes } from './cert-cache.js'

/** Creates the error of an entry that this package cannot store or return. */
export const entryError = (message: string): StoreError => new StoreError('ERR_STORE_ENTRY', message)

export const tooLargeError = (entry: string): StoreError =>
  entryError(`${entry} is larger than any certificate`)

/**
 * Checks the size of a response's body before it is read. Destroying the body costs the connection, but reading it
 * would cost more.
 * @throws {StoreError} `ERR_STORE_ENTRY`
 */
export function assertBodySize(body: unknown, bytes: number | undefined, entry: string): void {
  if ((bytes ?? 0) <= maxValueBytes) return
  ;(body as Readable).destroy()
  throw tooLargeError(entry)
}

/** Whether another machine was first: services answer 409 or 412, in different cases. */
export const isLostRace = (error: unknown): boolean =>
  error instanceof StoreError && (error.statusCode === 409 || error.statusCode === 412)

/** Whether the credentials are valid but lack a permission. */
export const isPermissionError = (error: unknown): error is StoreError =>
  error instanceof StoreError && error.code === 'ERR_STORE_PERMISSION'

export const firstLine = (message: string): string => message.split('\n', 1)[0] as string
