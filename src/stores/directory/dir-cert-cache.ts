import { randomUUID } from 'node:crypto'
import { lstat, opendir, readdir, rename, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  isCacheKey,
  type ListableCertCache,
  type LockingCertCache,
  lockKey,
} from '../../cache/cert-cache.js'
import { acquireLock, holdLease } from '../../cache/leases/lease.js'
import { LeaseWatch } from '../../cache/leases/lease-watch.js'
import { failureMessage } from '../../cache/service-errors.js'
import { createRunner, type RunOperation } from '../../cache/store-operation.js'
import { ignoreFailure } from '../../util/safe-call.js'
import { ifExists, ignoreErrno, nameOf, toLockError, toStoreError } from './errors.js'
import { readWhole, syncFolder, writeWhole } from './files.js'
import { Folder } from './folder.js'
import { createLease, removePrepared } from './lock.js'

/** The time-out of one operation. */
const timeoutMs = 5_000
/** The suffix of temporary files. A colon is outside the key alphabet, so no key ends with it. */
const temporarySuffix = ':tmp'
/** The age at which a temporary file counts as left behind by a process that died. */
const leftoverAgeMs = 3_600_000

/**
 * A {@link CertCache} in a folder, local or on NFS: one file per key, named like the key. Compatible with the folder of
 * Go's `autocert.DirCache`, with the same modes: 0700 for the folder, 0600 for the files.
 *
 * The first write creates the folder. Before that, a missing folder is an empty store. Once the folder has been seen,
 * its device and inode identify it. If it is missing or something else is at its path, each operation rejects with
 * `ERR_STORE_CONTAINER` and creates nothing: if its file system is unmounted under a running server, no certificates
 * are ordered. A folder with another device or inode is accepted if it contains one of the 16 certificates and keys that
 * this instance last read or wrote: NFS can get a new device number when it is mounted again.
 *
 * The folder is checked before and after an operation. A file system that is unmounted in between can leave a file of
 * that operation, which rejects, below the mount point.
 *
 * A write goes to a temporary file, which is flushed to disk before it replaces the old value. Symbolic links inside
 * the folder are never followed: reading one fails; writing and locking replace it. A folder inside a sticky,
 * world-writable folder such as /tmp must not belong to another user: `ERR_STORE_FAILED`.
 *
 * The file system must be case-sensitive and have POSIX rename semantics. Windows is not supported. File names are
 * limited to 255 bytes, so keys are too, and names of locks to 250 bytes: `ERR_STORE_ENTRY`.
 *
 * Rejects with a {@link StoreError}. If the file system denies access, the code is `ERR_STORE_PERMISSION`, but for locks
 * `ERR_STORE_FAILED`. The time-out of an operation is 5 s: `ERR_STORE_TIMEOUT`. A file system that hangs blocks one of
 * the four threads that Node uses for file operations; on NFS, use the mount option `softerr`.
 */
export class DirCertCache implements LockingCertCache, ListableCertCache {
  readonly #folder: Folder
  readonly #watch = new LeaseWatch()
  readonly #run: RunOperation
  readonly #runLock: RunOperation
  #leftoversRemoved = false

  /**
   * @param path the folder, absolute or relative to the working directory at the time of the call
   * @throws {TypeError} if `path` is not a valid path
   */
  constructor(path: string) {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw new TypeError('DirCertCache: path must be a non-empty string without null bytes')
    }
    const folder = resolve(path)
    const timeoutMessage = (description: string) =>
      failureMessage(
        description,
        nameOf(folder),
        `timed out after ${timeoutMs} ms`,
        'Check whether the file system hangs: its server, mount and disk.',
      )
    const runner = (convert: typeof toStoreError) =>
      createRunner({
        timeoutMs,
        timeoutMessage,
        toStoreError: (thrown, description) => convert(thrown, description, folder),
      })
    this.#folder = new Folder(folder)
    this.#run = runner(toStoreError)
    this.#runLock = runner(toLockError)
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    const file = this.#file(key)
    return this.#run(`read "${key}"`, options?.signal, async () => {
      const value = await this.#folder.run(() => readWhole(file))
      if (value) this.#folder.remember(key, value)
      return value
    })
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    const file = this.#file(key)
    await this.#run(`write "${key}"`, options?.signal, async (signal) => {
      await this.#folder.create()
      await this.#folder.run(() => this.#replace(file, data, signal))
      this.#folder.remember(key, data)
    })
    if (this.#leftoversRemoved) return
    this.#leftoversRemoved = true
    void ignoreFailure(this.#removeLeftovers(file), 'the next process tries again')
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    const file = this.#file(key)
    const remove = async () => {
      const outcome = await ignoreErrno(['ENOENT'], 'absent', unlink(file))
      if (outcome !== 'absent') await syncFolder(this.#folder.path)
    }
    await this.#run(`delete "${key}"`, options?.signal, () => this.#folder.run(remove))
  }

  /**
   * Lists the files whose names are valid keys. Omits locks, which are folders, and temporary files. Temporary files of
   * Go's `DirCache` have names that are valid keys, and are listed.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    const run = <T>(operation: (signal: AbortSignal) => Promise<T>) =>
      this.#run('list', options?.signal, operation)
    const dir = await run(async (signal) => {
      await this.#folder.assertSame()
      const opened = await ifExists(opendir(this.#folder.path))
      if (signal.aborted) await opened?.close()
      return opened
    })
    try {
      while (dir) {
        const entry = await run(() => dir.read())
        if (!entry) break
        if (!isCacheKey(entry.name)) continue
        const stats = await run(() => ifExists(lstat(join(this.#folder.path, entry.name))))
        if (stats?.isFile()) yield { name: entry.name, size: stats.size, modified: stats.mtime }
      }
      // If the file system was unmounted, entries are missing.
      await run(() => this.#folder.assertSame())
    } finally {
      if (dir) void ignoreFailure(dir.close(), 'the listing is complete')
    }
  }

  /**
   * Acquires the lock: a folder `<name>+lock` that contains a file named after the holder. The holder renames the file
   * every 10 s. A waiting machine takes the lock over if the file has kept its name for 30 s by that machine's own
   * clock. The lock of a dead holder is therefore taken over 30 s after another machine first tried to acquire it. The
   * clocks of different machines are never compared.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    return acquireLock(name, options?.signal, this.#runLock, async () => {
      await this.#folder.create()
      const lease = createLease(this.#file(lockKey(name)), this.#temporaryPath(), this.#watch)
      const run = <T>(verb: string, operation: () => Promise<T>) =>
        this.#runLock(`${verb} the lock "${name}"`, undefined, () => this.#folder.run(operation))
      return holdLease(name, {
        acquire: () => this.#folder.run(lease.acquire),
        renew: () => run('renew', lease.renew),
        remove: () => run('release', lease.remove),
      })
    })
  }

  #file(key: string): string {
    assertCacheKey(key)
    return join(this.#folder.path, key)
  }

  #temporaryPath(): string {
    return join(this.#folder.path, `${randomUUID()}${temporarySuffix}`)
  }

  /** Writes a value to disk, and then puts it in the place of the former one. */
  async #replace(file: string, data: Uint8Array, signal: AbortSignal): Promise<void> {
    const temporary = this.#temporaryPath()
    try {
      await writeWhole(temporary, data)
      signal.throwIfAborted()
      await rename(temporary, file)
    } catch (error) {
      await ignoreFailure(unlink(temporary), 'it is removed as a leftover')
      throw error
    }
    await syncFolder(this.#folder.path)
  }

  /**
   * Removes temporary files of processes that died. The time of `newFile`, which was just written, is the current time
   * of the file system.
   */
  async #removeLeftovers(newFile: string): Promise<void> {
    const { mtimeMs: now } = await lstat(newFile)
    for (const name of await readdir(this.#folder.path)) {
      if (!name.endsWith(temporarySuffix)) continue
      const path = join(this.#folder.path, name)
      // Most belong to writes in progress, and may have vanished.
      const stats = await ifExists(lstat(path))
      if (!stats || now - stats.mtimeMs <= leftoverAgeMs) continue
      await ifExists(stats.isDirectory() ? removePrepared(path) : unlink(path))
    }
  }
}
