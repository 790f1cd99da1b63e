import { randomUUID } from 'node:crypto'
import { lstat, rename, rm, writeFile } from 'node:fs/promises'
import { CommandError } from './arguments.js'

export interface PrivateFile {
  readonly file: string
  readonly data: string
}

/**
 * Only for their owner, also where they replace files that others could read; each whole or not at all. What can fail
 * comes before the first one is replaced: a key without its chain is of no use.
 */
export async function writePrivate(...files: readonly PrivateFile[]): Promise<void> {
  const written = files.map(({ file, data }) => ({ file, data, unfinished: `${file}.${randomUUID()}` }))
  const each = async (step: (one: (typeof written)[number]) => Promise<void>) => {
    for (const one of written) {
      await step(one).catch((thrown: unknown) => {
        throw thrown instanceof CommandError ? thrown : fileError(thrown, 'written', one.file)
      })
    }
  }
  try {
    await each(({ file }) => checkReplaceable(file))
    await each(({ data, unfinished }) => writeFile(unfinished, data, { mode: 0o600, flag: 'wx' }))
    await each(({ file, unfinished }) => rename(unfinished, file))
  } catch (thrown) {
    for (const { unfinished } of written) await rm(unfinished, { force: true }).catch(() => undefined)
    throw thrown
  }
}

/** A rename takes the place of everything but folders: of /dev/stdout, too. */
async function checkReplaceable(file: string): Promise<void> {
  const present = await lstat(file).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  })
  if (!present || present.isFile()) return
  const why = present.isDirectory()
    ? 'it is a folder'
    : present.isSymbolicLink()
      ? 'it is a symbolic link; give the file that it leads to'
      : 'there is something that is no regular file; give another name'
  throw new CommandError(`${file} could not be written: ${why}`)
}

export function fileError(thrown: unknown, what: string, file: string): CommandError {
  const { code } = thrown as NodeJS.ErrnoException
  const why = {
    ENOENT: 'no such file or folder',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'it is no folder',
  }[code ?? '']
  return new CommandError(`${file} could not be ${what}: ${why ?? code ?? (thrown as Error).message}`)
}
