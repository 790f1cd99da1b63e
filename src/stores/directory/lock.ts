import { randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Lease } from '../../cache/leases/lease.js'
import type { LeaseWatch } from '../../cache/leases/lease-watch.js'
import { StoreError } from '../../util/errors.js'
import { ignoreFailure } from '../../util/safe-call.js'
import { ifExists, ignoreErrno } from './errors.js'

/**
 * Returns a lease made of atomic renames, which file systems including NFS support.
 *
 * A lock is a folder that contains one file, named `<holder id>.<number>`. An empty or missing folder is a free lock.
 * Every change of a lock is one rename, which fails if another machine was first:
 *
 * - Acquire: rename a prepared folder to `lockFolder`. A rename replaces an empty folder, but not one with a file in it.
 * - Renew: the holder renames its file to the next number. This fails if another machine has taken the lock over.
 * - Take over: rename the holder's file, whose name was seen unchanged for a whole lease, to one's own name. This fails
 *   if the holder renewed the lock first, or another machine took it over first, however late the rename is done.
 *
 * To release a lock, the holder unlinks its file by name. A delayed operation therefore never affects a later holder.
 * @param temporary an unused path beside `lockFolder`, with a name outside the key alphabet
 */
export function createLease(lockFolder: string, temporary: string, watch: LeaseWatch): Lease {
  const holderId = randomUUID()
  const ownFile = (index: number) => join(lockFolder, `${holderId}.${index}`)
  let number = 0
  const acquire = async () => {
    const holderFile = await findHolderFile(lockFolder)
    if (holderFile !== undefined && !watch.hasExpired(lockFolder, holderFile)) return false
    watch.forget(lockFolder)
    return holderFile === undefined
      ? acquireFree(lockFolder, ownFile(0), temporary)
      : renameAtomically(join(lockFolder, holderFile), ownFile(0), ownFile(0))
  }
  const renew = async () => {
    for (let attempt = 1; attempt <= 3; attempt++) {
      const current = number
      const next = ownFile(current + 1)
      const outcome = await ignoreErrno(['ENOENT'], 'not found', rename(ownFile(current), next))
      if (outcome === 'not found' && !(await exists(next))) return false
      // A renewal that timed out may still be running.
      number = Math.max(number, current + 1)
      // Otherwise an earlier rename, whose answer was lost, succeeded at an unknown time: rename once more.
      if (outcome !== 'not found') return true
    }
    return false
  }
  const remove = async () => {
    // A rename that is running, or whose answer was lost, takes effect before the first unlink or after it.
    for (const file of [ownFile(number), ownFile(number + 1)]) {
      if ((await ignoreErrno(['ENOENT'], 'not found', unlink(file))) !== 'not found') break
    }
    await ignoreFailure(
      rmdir(lockFolder),
      'an empty folder is a free lock, and one with a file in it has a new holder',
    )
  }
  return { acquire, renew, remove }
}

/** Returns the name of the holder's file, or `undefined` if the lock is free. Removes anything else at that path. */
async function findHolderFile(lockFolder: string): Promise<string | undefined> {
  const stats = await ifExists(lstat(lockFolder))
  if (!stats?.isDirectory()) {
    // A link, or a file copied from another kind of store. If another machine replaces it by a lock, unlink() fails.
    if (stats) await ignoreErrno(['ENOENT', 'EISDIR'], undefined, unlink(lockFolder))
    return undefined
  }
  const names = await ignoreErrno(['ENOENT'], [], readdir(lockFolder))
  const holderFile = names.find((name) => holderFilePattern.test(name))
  if (holderFile !== undefined) return holderFile
  // Files that desktops leave in folders would prevent the lock from ever being free.
  for (const name of names) await removeStray(join(lockFolder, name))
  return undefined
}

async function acquireFree(lockFolder: string, ownFile: string, prepared: string): Promise<boolean> {
  await mkdir(prepared, { mode: 0o700 })
  try {
    await (await open(join(prepared, basename(ownFile)), 'wx', 0o600)).close()
    const attempt = renameAtomically(prepared, lockFolder, ownFile)
    return await ignoreErrno(['ENOTEMPTY', 'EEXIST', 'ENOTDIR'], false, attempt)
  } finally {
    const removal = removePrepared(prepared, [basename(ownFile)])
    await ignoreFailure(removal, 'it has become the lock, or is removed as a leftover')
  }
}

const holderFilePattern = /^[\da-f-]{36}\.\d+$/

/** Removes a prepared folder that did not become a lock. */
export async function removePrepared(folder: string, files?: readonly string[]): Promise<void> {
  const names = files ?? (await readdir(folder)).filter((name) => holderFilePattern.test(name))
  for (const name of names) await ifExists(unlink(join(folder, name)))
  await rmdir(folder)
}

/** Removes a file, a symbolic link or an empty folder. Rejects for a folder with content, which may be valuable. */
async function removeStray(path: string): Promise<void> {
  const stats = await ifExists(lstat(path))
  if (!stats) return
  if (!stats.isDirectory()) return ifExists(unlink(path))
  const outcome = await ignoreErrno(['ENOTEMPTY', 'EEXIST'], 'not empty', ifExists(rmdir(path)))
  if (outcome !== 'not empty') return
  const lockName = basename(dirname(path))
  throw new StoreError(
    'ERR_STORE_FAILED',
    `cannot lock "${lockName}": the folder "${path}" is not empty. Move it elsewhere.`,
  )
}

/**
 * Renames a file or folder. Returns false if `from` does not exist.
 *
 * If an NFS client does not receive the answer, it repeats the rename, which then fails although it was carried out. In
 * that case `proof` exists: a path that exists only after the rename.
 */
async function renameAtomically(from: string, to: string, proof: string): Promise<boolean> {
  const outcome = await ignoreErrno(['ENOENT'], 'not found', rename(from, to))
  return outcome !== 'not found' || exists(proof)
}

const exists = async (path: string) => (await ifExists(lstat(path))) !== undefined
