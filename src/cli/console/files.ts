import { randomUUID } from 'node:crypto'
import { lstat, rename, rm, writeFile } from 'node:fs/promises'
import { ignoreFailure } from '../../util/safe-call.js'
import { CommandError } from './errors.js'

export interface FileContent {
  readonly file: string
  readonly data: string
}

/**
 * Writes files with mode 0600, replacing existing regular files and their modes. Each file is replaced atomically.
 *
 * Checks and writes all files before it replaces the first one: a private key without its chain is useless.
 * @throws {CommandError} if a file cannot be written, or exists and is not a regular file
 */
export async function writePrivateFiles(...files: readonly FileContent[]): Promise<void> {
  const writes = files.map(({ file, data }) => ({ file, data, temporary: `${file}.${randomUUID()}` }))
  const forEachFile = async (step: (write: (typeof writes)[number]) => Promise<void>) => {
    for (const write of writes) {
      await step(write).catch((thrown: unknown) => {
        throw thrown instanceof CommandError ? thrown : toFileError(thrown, 'write', write.file)
      })
    }
  }
  try {
    await forEachFile(({ file }) => assertReplaceable(file))
    await forEachFile(({ data, temporary }) => writeFile(temporary, data, { mode: 0o600, flag: 'wx' }))
    await forEachFile(({ file, temporary }) => rename(temporary, file))
  } catch (thrown) {
    for (const { temporary } of writes)
      await ignoreFailure(rm(temporary, { force: true }), 'the first error is reported')
    throw thrown
  }
}

/** Rejects anything but a regular file: a rename would replace a device such as /dev/stdout. */
async function assertReplaceable(file: string): Promise<void> {
  const stats = await lstat(file).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  })
  if (!stats || stats.isFile()) return
  const reason = stats.isDirectory()
    ? 'it is a folder'
    : stats.isSymbolicLink()
      ? 'it is a symbolic link. Pass the path of its target.'
      : 'it is not a regular file. Pass another path.'
  throw new CommandError(`cannot write "${file}": ${reason}`)
}

/** Converts an error of `node:fs` to one that names the file and the reason. */
export function toFileError(thrown: unknown, operation: 'read' | 'write', file: string): CommandError {
  const { code } = thrown as NodeJS.ErrnoException
  const reason = {
    ENOENT: 'no such file or folder',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'it is not a folder',
  }[code ?? '']
  return new CommandError(`cannot ${operation} "${file}": ${reason ?? code ?? (thrown as Error).message}`)
}
