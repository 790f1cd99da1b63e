import type { Readable } from 'node:stream'
import { StoreError } from '../util/errors.js'
import { maxValueBytes } from './cert-cache.js'

/**
 * Returns the message of a failed operation: `cannot read "a.example" from container "certs": reason. Advice.`
 * @param operation a verb, and its object if that is not the place: `read "a.example"`, or `list`
 * @param place the container, bucket, folder or table
 */
export function failureMessage(operation: string, place: string, reason: string, advice: string): string {
  const [verb = '', ...object] = operation.split(' ')
  const preposition = object.length === 0 ? '' : `${prepositions[verb] ?? 'in'} `
  // A network error or a driver may have sent a part of the reason.
  const line = reason.replace(/\p{Cc}+/gu, ' ')
  return `cannot ${operation} ${preposition}${place}: ${line}. ${advice}`
}

const prepositions: Readonly<Record<string, string>> = {
  read: 'from',
  delete: 'from',
  write: 'to',
  check: 'to',
}

/** Creates the error of an entry that this package cannot store or return. */
const entryError = (message: string): StoreError => new StoreError('ERR_STORE_ENTRY', message)

/** Creates the error of a value in the store that is too large for a certificate. */
export const tooLargeError = (key: string, place: string): StoreError => {
  const reason = `the value is larger than ${maxValueBytes / 2 ** 20} MiB, so it is not a certificate`
  const advice = 'Delete it, and find out which program wrote it.'
  return entryError(failureMessage(`read "${key}"`, place, reason, advice))
}

/** Creates the error of a key that is too long for the store. */
export const tooLongError = (key: string, place: string, reason: string): StoreError =>
  entryError(failureMessage(`use the key "${key}"`, place, reason, 'Use a shorter prefix or host name.'))

/**
 * Checks the size of a response's body before it is read. Destroying the body costs the connection, but reading it
 * would cost more.
 * @throws {StoreError} `ERR_STORE_ENTRY`
 */
export function assertBodySize(body: unknown, bytes: number | undefined, key: string, place: string): void {
  if ((bytes ?? 0) <= maxValueBytes) return
  ;(body as Readable).destroy()
  throw tooLargeError(key, place)
}

/** Whether another machine was first: services answer 409 or 412, in different cases. */
export const isLostRace = (error: unknown): error is StoreError =>
  error instanceof StoreError && (error.statusCode === 409 || error.statusCode === 412)

/** Whether the credentials are valid but lack a permission. */
export const isPermissionError = (error: unknown): error is StoreError =>
  error instanceof StoreError && error.code === 'ERR_STORE_PERMISSION'

export const firstLine = (message: string): string => message.split('\n', 1)[0] as string
