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

/** For the system's error codes: the code of the {@link StoreError}, and what to do. */
const rules: readonly [RegExp, StoreErrorCode, string][] = [
  [
    /^(EACCES|EPERM)$/,
    'ERR_STORE_PERMISSION',
    'Let the user of this process read, write and search the folder, and own the files in it.',
  ],
  // Not ERR_STORE_PERMISSION: with that code a machine orders without a lock, but here it could not store the
  // certificate.
  [
    /^EROFS$/,
    'ERR_STORE_FAILED',
    'Its file system is mounted read-only: look why, and mount it for writing.',
  ],
  [
    /^(ENOENT|ENOTDIR|EEXIST)$/,
    'ERR_STORE_CONTAINER',
    'The folder has gone, or a part of its path is no folder: mount it, or make it again.',
  ],
  [
    /^(EIO|ESTALE|ETIMEDOUT|EHOSTDOWN|ENOTCONN|ENODEV)$/,
    'ERR_STORE_UNREACHABLE',
    'The file system does not answer as it should: look at its server, its mount and its disk.',
  ],
  [/^(ENOSPC|EDQUOT)$/, 'ERR_STORE_FAILED', 'Make room on its file system.'],
  [/^(EMFILE|ENFILE)$/, 'ERR_STORE_FAILED', 'Raise the limit of open files.'],
  [/^ENAMETOOLONG$/, 'ERR_STORE_ENTRY', 'The name is too long for the file system: 255 bytes is usual.'],
  [/^ELOOP$/, 'ERR_STORE_ENTRY', 'A symbolic link is there in place of a file: it is not followed.'],
  [/^EISDIR$/, 'ERR_STORE_ENTRY', 'A folder is there in place of a file.'],
  [/^EFBIG$/, 'ERR_STORE_ENTRY', 'The file is larger than any certificate, or than its file system allows.'],
  [/^/, 'ERR_STORE_FAILED', 'See the cause.'],
]

/** Converts an error of the file system. Returns a {@link StoreError} unchanged. */
export function toStoreError(thrown: unknown, description: string, folder: string): StoreError {
  if (thrown instanceof StoreError) return thrown
  const cause = toError(thrown)
  const reason = errnoOf(thrown) ?? cause.name
  const [, code, suggestion] = rules.find(([errnos]) => errnos.test(reason)) as (typeof rules)[number]
  return new StoreError(code, `could not ${description} in the folder ${folder} (${reason}). ${suggestion}`, {
    cause,
  })
}
