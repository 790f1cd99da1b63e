import { randomUUID } from 'node:crypto'
import { lstat, mkdir, opendir, readdir, rename, stat, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  assertCacheKey,
  type CacheOperationOptions,
  type CertCacheEntry,
  type CertCacheLock,
  isCacheKey,
  type ListableCertCache,
  type LockingCertCache,
} from '../../cache/cert-cache.js'
import { releaseIfLate } from '../../cache/lease.js'
import { systemClock } from '../../util/clock.js'
import { withDeadline } from '../../util/deadline.js'
import { StoreError } from '../../util/errors.js'
import { dirErrorFrom, unless } from './errors.js'
import { assertFolderOwner, readWhole, syncFolder, writeWhole } from './files.js'
import { DirLocks, removePrepared } from './lock.js'

/** Bound of one operation. */
const timeoutMs = 5_000
/** Not in the alphabet of keys, so no key's file has such a name. */
const temporaryEnd = ':tmp'
/** What is older was left behind by a process that died: no write takes so long. */
const leftOverAfterMs = 3_600_000

/**
 * A {@link CertCache} in a folder, of one machine or shared by NFS: one file per key, which is its name. It is the
 * folder of Go's `autocert.DirCache`, with the same modes: 0700 for the folder, 0600 for the files.
 *
 * The first write makes the folder. Until then a folder that is missing is an empty store; once it has been seen, it
 * is an `ERR_STORE_CONTAINER`, so a file system that is unmounted under a running server orders nothing.
 *
 * A write goes to a temporary file, and is on the disk before it takes the place of the former value. Symbolic links
 * inside the folder are never followed: reading one fails, writing and locking replace it. A folder in /tmp, or where
 * else everybody may make one, is an `ERR_STORE_FAILED` if another user has made it. The file system must tell upper from
 * lower case, as those of Linux do, and have rename as POSIX has it; Windows has not. Its names are 255 bytes at most,
 * so keys too, and names of locks 250: what is longer is an `ERR_STORE_ENTRY`.
 *
 * Rejects with a {@link StoreError}, for `ERR_STORE_TIMEOUT` after 5 s. A file system that hangs keeps one of the four
 * threads that Node has for all its file operations: on NFS prefer the mount option `softerr`.
 */
export class DirCertCache implements LockingCertCache, ListableCertCache {
  readonly #folder: string
  readonly #locks: DirLocks
  /** It was there once. */
  #seen = false
  #leftOversRemoved = false

  /**
   * @param path the folder, absolute or relative to the working directory of now
   * @throws {TypeError} if it is no path
   */
  constructor(path: string) {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw new TypeError('DirCertCache: path must be the path of a folder')
    }
    this.#folder = resolve(path)
    this.#locks = new DirLocks(this.#folder, {
      temporaryPath: () => this.#temporaryPath(),
      run: (what, operation) => this.#run(what, undefined, operation),
    })
  }

  async get(key: string, options?: CacheOperationOptions): Promise<Uint8Array | undefined> {
    const file = this.#file(key)
    return this.#run(`read ${key}`, options?.signal, async () => {
      const value = await readWhole(file)
      if (value === undefined || !this.#seen) await this.#assertFolder()
      return value
    })
  }

  async put(key: string, data: Uint8Array, options?: CacheOperationOptions): Promise<void> {
    const file = this.#file(key)
    await this.#run(`write ${key}`, options?.signal, async (signal) => {
      await this.#makeFolder()
      const temporary = this.#temporaryPath()
      try {
        await writeWhole(temporary, data)
        signal.throwIfAborted()
        await rename(temporary, file)
      } catch (error) {
        await unlink(temporary).catch(() => 'removed when it is old')
        throw error
      }
      await syncFolder(this.#folder)
    })
    if (this.#leftOversRemoved) return
    this.#leftOversRemoved = true
    this.#removeLeftOvers(file).catch(() => 'the next process tries again')
  }

  async delete(key: string, options?: CacheOperationOptions): Promise<void> {
    const file = this.#file(key)
    await this.#run(`delete ${key}`, options?.signal, async () => {
      const absent = (await unless(['ENOENT'], 'absent', unlink(file))) === 'absent'
      await (absent ? this.#assertFolder() : syncFolder(this.#folder))
    })
  }

  /**
   * The files whose names are keys. Not the locks, which are folders, nor temporary files; those of Go's `DirCache`
   * have a name like a key, and are listed.
   */
  async *list(options?: CacheOperationOptions): AsyncGenerator<CertCacheEntry, void, undefined> {
    const bounded = <T>(operation: (signal: AbortSignal) => Promise<T>) =>
      this.#run('list', options?.signal, operation)
    const folder = await bounded(async (signal) => {
      const opened = await unless(['ENOENT'], undefined, opendir(this.#folder))
      if (signal.aborted) await opened?.close()
      if (!opened) await this.#assertFolder()
      return opened
    })
    if (!folder) return
    try {
      for (;;) {
        const entry = await bounded(() => folder.read())
        if (!entry) return
        if (!isCacheKey(entry.name)) continue
        const found = await bounded(() =>
          unless(['ENOENT'], undefined, lstat(join(this.#folder, entry.name))),
        )
        if (found?.isFile()) yield { name: entry.name, size: found.size, modified: found.mtime }
      }
    } finally {
      folder.close().catch(() => 'nobody waits for it')
    }
  }

  /**
   * A folder `<name>+lock` with a file in it whose name says who holds the lock; it is renamed every 10 s. A lock
   * whose file has kept its name for 30 s, by the clock of whoever waits for it, is taken over: 30 s after somebody
   * first asked for the lock of a holder that has died. No two machines' clocks are compared.
   */
  async tryLock(name: string, options?: CacheOperationOptions): Promise<CertCacheLock | undefined> {
    assertCacheKey(name)
    options?.signal?.throwIfAborted()
    const taking = this.#makeFolder().then(() => this.#locks.take(name))
    return releaseIfLate(taking, () => this.#run(`lock ${name}`, options?.signal, () => taking))
  }

  #file(key: string): string {
    assertCacheKey(key)
    return join(this.#folder, key)
  }

  #temporaryPath = (): string => join(this.#folder, `${randomUUID()}${temporaryEnd}`)

  async #makeFolder(): Promise<void> {
    // Not again: what was there and has gone may be a file system that is not mounted.
    if (this.#seen) return
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await this.#assertFolder()
  }

  /** Rejects if the folder has gone, or is not to be trusted. */
  async #assertFolder(): Promise<void> {
    const found = await unless(this.#seen ? [] : ['ENOENT'], undefined, stat(this.#folder))
    if (!found) return
    if (!found.isDirectory()) throw Object.assign(new Error('it is no folder'), { code: 'ENOTDIR' })
    await assertFolderOwner(this.#folder, found)
    this.#seen = true
  }

  /** Of processes that died while they wrote. By the file system's own clock: `newFile` was just written. */
  async #removeLeftOvers(newFile: string): Promise<void> {
    const { mtimeMs: now } = await lstat(newFile)
    for (const name of await readdir(this.#folder)) {
      if (!name.endsWith(temporaryEnd)) continue
      const path = join(this.#folder, name)
      // Most are others' writes under way, and have gone by now.
      const found = await unless(['ENOENT'], undefined, lstat(path))
      if (!found || now - found.mtimeMs <= leftOverAfterMs) continue
      await unless(['ENOENT'], undefined, found.isDirectory() ? removePrepared(path) : unlink(path))
    }
  }

  /** Under the time-out, with the system's errors turned into ours. */
  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    operation: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeout = () =>
      new StoreError(
        'ERR_STORE_TIMEOUT',
        `it took longer than ${timeoutMs} ms to ${what} in the folder ${this.#folder}. Its file system may hang.`,
      )
    try {
      return await withDeadline(
        (bounded) => {
          bounded.throwIfAborted()
          return operation(bounded)
        },
        { ms: timeoutMs, clock: systemClock, error: timeout, signal },
      )
    } catch (thrown) {
      if (signal?.aborted) throw thrown
      throw dirErrorFrom(thrown, what, this.#folder)
    }
  }
}
