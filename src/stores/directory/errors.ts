import { failureMessage } from '../../cache/service-errors.js'
import { StoreError, type StoreErrorCode, toError } from '../../util/errors.js'

/** Returns the system's error code, such as `ENOENT`. */
export const errnoOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException | null)?.code

/** Settles as `operation` does, but resolves with `undefined` if the file or folder does not exist. */
export const ifExists = <T>(operation: Promise<T>): Promise<T | undefined> =>
  ignoreErrno(['ENOENT'], undefined, operation)

/** Settles as `operation` does, but resolves with `fallback` if it fails with one of these error codes. */
export async function ignoreErrno<T, U>(
  errnos: readonly string[],
  fallback: U,
  operation: Promise<T>,
): Promise<T | U> {
  try {
    return await operation
  } catch (error) {
    if (errnos.includes(errnoOf(error) as string)) return fallback
    throw error
  }
}

/** For the system's error codes: the code of the {@link StoreError}, the reason, and what to do. */
const rules: readonly [RegExp, StoreErrorCode, string, string][] = [
  [
    /^(EACCES|EPERM)$/,
    'ERR_STORE_PERMISSION',
    'the file system denied access',
    'Give the user of this process read, write and search permission on the folder, and ownership of the files in it.',
  ],
  // Not ERR_STORE_PERMISSION: with that code a machine orders without a lock, but here it could not store the
  // certificate.
  [/^EROFS$/, 'ERR_STORE_FAILED', 'the file system is read-only', 'Mount it for writing.'],
  [
    /^(ENOENT|ENOTDIR|EEXIST)$/,
    'ERR_STORE_CONTAINER',
    'the folder is missing, or a part of its path is not a folder',
    'Mount or create the folder.',
  ],
  [
    /^(EIO|ESTALE|ETIMEDOUT|EHOSTDOWN|ENOTCONN|ENODEV)$/,
    'ERR_STORE_UNREACHABLE',
    'the file system failed',
    'Check its server, mount and disk.',
  ],
  [/^(ENOSPC|EDQUOT)$/, 'ERR_STORE_FAILED', 'the file system or the quota is full', 'Free some space.'],
  [
    /^(EMFILE|ENFILE)$/,
    'ERR_STORE_FAILED',
    'too many files are open',
    'Raise the limit of open files (ulimit -n).',
  ],
  [
    /^ENAMETOOLONG$/,
    'ERR_STORE_ENTRY',
    'the name is too long for the file system, which usually allows 255 bytes',
    'Use a shorter host name or key prefix.',
  ],
  [
    /^ELOOP$/,
    'ERR_STORE_ENTRY',
    'the file is a symbolic link, which this store does not follow',
    'Replace it with a regular file.',
  ],
  [/^EISDIR$/, 'ERR_STORE_ENTRY', 'it is not a regular file', 'Move it out of the folder.'],
  [
    /^EFBIG$/,
    'ERR_STORE_ENTRY',
    'the file is larger than 16 MiB, or than the file system allows',
    'Move it out of the folder.',
  ],
  [/^/, 'ERR_STORE_FAILED', 'unexpected error', 'See the cause of this error.'],
]

/** Converts an error of the file system. Returns a {@link StoreError} unchanged. */
export function toStoreError(thrown: unknown, description: string, folder: string): StoreError {
  if (thrown instanceof StoreError) return thrown
  const cause = toError(thrown)
  const errno = errnoOf(thrown) ?? cause.name
  const [, code, reason, advice] = rules.find(([errnos]) => errnos.test(errno)) as (typeof rules)[number]
  return new StoreError(code, failureMessage(description, nameOf(folder), `${reason} (${errno})`, advice), {
    cause,
  })
}

/**
 * Converts an error of a lock operation. Denied access is an `ERR_STORE_FAILED`: with `ERR_STORE_PERMISSION` a machine
 * orders without a lock, but here it could not store the certificate.
 */
export function toLockError(thrown: unknown, description: string, folder: string): StoreError {
  const error = toStoreError(thrown, description, folder)
  if (error.code !== 'ERR_STORE_PERMISSION') return error
  return new StoreError('ERR_STORE_FAILED', error.message, { cause: error.cause })
}

/** Names a folder in messages. */
export const nameOf = (folder: string): string => `folder "${folder}"`
