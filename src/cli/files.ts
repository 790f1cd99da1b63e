import { randomUUID } from 'node:crypto'
import { rename, rm, writeFile } from 'node:fs/promises'
import { CommandError } from './arguments.js'

/** Only for its owner, also where it replaces a file that others could read; whole or not at all. */
export async function writePrivate(file: string, data: string): Promise<void> {
  const unfinished = `${file}.${randomUUID()}`
  try {
    await writeFile(unfinished, data, { mode: 0o600, flag: 'wx' })
    await rename(unfinished, file)
  } catch (thrown) {
    await rm(unfinished, { force: true }).catch(() => undefined)
    throw fileError(thrown, 'written', file)
  }
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
