import type { Stats } from 'node:fs'
import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { maxValueBytes } from '../../cache/cert-cache.js'
import { StoreError } from '../../util/errors.js'
import { errnoOf, unless } from './errors.js'

/** `undefined` if there is no such file. */
export async function readWhole(file: string, attempt = 1): Promise<Uint8Array | undefined> {
  // Non-blocking: to open a pipe without a writer would take for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    const handle = await open(file, flags)
    try {
      const found = await handle.stat()
      if (!found.isFile()) throw Object.assign(new Error('it is no file'), { code: 'EISDIR' })
      if (found.size > maxValueBytes) throw Object.assign(new Error('it is too large'), { code: 'EFBIG' })
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') return undefined
    // On NFS a file that another machine replaces can go while it is read.
    if (errno === 'ESTALE' && attempt < 4) return readWhole(file, attempt + 1)
    throw error
  }
}

export async function writeWhole(file: string, data: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(data)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** So that a renamed file keeps its name through a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    // Some file systems have nothing to do there and say so.
    await unless(['EINVAL', 'ENOTSUP'], undefined, handle.sync())
  } finally {
    await handle.close()
  }
}

const sticky = 0o1000
const byEverybody = 0o002

/**
 * Where everybody may make files, as in /tmp, somebody else may have made the folder beforehand, to read and replace
 * the keys in it. The rule is that of Linux for files there, `fs.protected_regular`.
 */
export async function assertFolderOwner(folder: string, { uid }: Stats): Promise<void> {
  const above = await stat(dirname(folder))
  const open = (above.mode & sticky) !== 0 && (above.mode & byEverybody) !== 0
  if (!open || uid === above.uid || uid === process.geteuid?.()) return
  throw new StoreError(
    'ERR_STORE_FAILED',
    `the folder ${folder} belongs to another user (${uid}), who could read and replace the keys in it. Use a folder outside ${dirname(folder)}, where everybody may make one.`,
  )
}
