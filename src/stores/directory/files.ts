import { constants } from 'node:fs'
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { maxValueBytes } from '../../cache/cert-cache.js'
import { failureMessage } from '../../cache/service-errors.js'
import { StoreError } from '../../util/errors.js'
import { errnoOf, ignoreErrno, nameOf } from './errors.js'

/** Reads a file. Returns `undefined` if it does not exist; rejects if it is a symbolic link or not a regular file. */
export async function readWhole(file: string, attempt = 1): Promise<Uint8Array | undefined> {
  // O_NONBLOCK: without it, opening a pipe that has no writer would hang.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    const handle = await open(file, flags)
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw Object.assign(new Error('it is not a regular file'), { code: 'EISDIR' })
      if (stats.size > maxValueBytes) throw Object.assign(new Error('it is too large'), { code: 'EFBIG' })
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') return undefined
    // On NFS, a file that another machine replaces can vanish during the read.
    if (errno === 'ESTALE' && attempt < 4) return readWhole(file, attempt + 1)
    throw error
  }
}

/** Creates a file with mode 0600, and flushes it to disk. Rejects if the file exists. */
export async function writeWhole(file: string, data: Uint8Array): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(data)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Creates a folder with mode 0700, and its parents. Accepts anything that already exists at the path.
 *
 * Below /proc, `mkdir` fails with ENOENT although the parent exists. With its option `recursive`, Node 20 then retries
 * without end.
 */
export async function createFolder(folder: string): Promise<void> {
  const create = () => ignoreErrno(['EEXIST'], undefined, mkdir(folder, { mode: 0o700 }))
  const outcome = await ignoreErrno(['ENOENT'], 'no parent', create())
  if (outcome !== 'no parent') return
  await createFolder(dirname(folder))
  await create()
}

/** Flushes the folder's entries to disk, so that a rename survives a power failure. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    // Some file systems do not support this, because they do not need it.
    await ignoreErrno(['EINVAL', 'ENOTSUP'], undefined, handle.sync())
  } finally {
    await handle.close()
  }
}

/**
 * Rejects if the folder is in a sticky, world-writable folder such as /tmp and belongs to another user, who could read
 * and replace the keys in it. The rule is the one that Linux applies to files (`fs.protected_regular`).
 * @throws {StoreError} `ERR_STORE_FAILED`
 */
export async function assertFolderOwner(folder: string, uid: number): Promise<void> {
  const parent = await stat(dirname(folder))
  const isSticky = (parent.mode & 0o1000) !== 0
  const isShared = isSticky && (parent.mode & constants.S_IWOTH) !== 0
  if (!isShared || uid === parent.uid || uid === process.geteuid?.()) return
  throw new StoreError(
    'ERR_STORE_FAILED',
    failureMessage(
      'use',
      nameOf(folder),
      `it belongs to user ${uid}, who can read and replace the private keys in it`,
      `Use a folder outside "${dirname(folder)}", in which every user can create folders.`,
    ),
  )
}
