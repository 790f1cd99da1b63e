import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { failureMessage } from '../../cache/service-errors.js'
import { StoreError } from '../../util/errors.js'
import { errnoOf, nameOf } from './errors.js'
import { assertFolderOwner, createFolder, readWhole } from './files.js'

/** Other machines may replace some of the values that this process knows. */
const maxKnownValues = 16
/**
 * The size from which a value identifies a store: that of an EC private key. Several stores can contain the same shorter
 * value, such as that of `acme_probe`.
 */
const minKnownBytes = 200

/**
 * The folder of a store. Once it has been seen, its device and inode identify it, so that an empty mount point is not
 * mistaken for an empty store. A file system that is mounted again can have another device number, for example on NFS.
 * A folder with another device or inode is therefore accepted if it contains a value that this process knows.
 */
export class Folder {
  readonly path: string
  #seen: BigIntStats | undefined
  /** The digests of the values that were read or written last, by key. */
  readonly #known = new Map<string, string>()

  constructor(path: string) {
    this.path = path
  }

  /** Remembers a value that was read or written. */
  remember(key: string, value: Uint8Array): void {
    if (value.byteLength < minKnownBytes) return
    this.#known.delete(key)
    this.#known.set(key, digest(value))
    const [oldest] = this.#known.keys()
    if (this.#known.size > maxKnownValues) this.#known.delete(oldest as string)
  }

  /** Creates the folder if it has never been seen: if it has vanished, its file system may not be mounted. */
  async create(): Promise<void> {
    if (!this.#seen) await createFolder(this.path)
  }

  /**
   * Does work in the folder. Rejects if the folder is another one before the work, or after it: node:fs has no
   * operations relative to an open folder, so a file system can be unmounted at any moment.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.assertSame()
    const result = await work()
    await this.assertSame()
    return result
  }

  /**
   * Rejects if the folder has vanished or was replaced, is not a folder, or belongs to an untrusted user. Allows a
   * folder not yet created.
   * @throws {StoreError} `ERR_STORE_CONTAINER` if another folder is at the path
   */
  async assertSame(): Promise<void> {
    const stats = await this.#stat()
    if (!stats || (stats.dev === this.#seen?.dev && stats.ino === this.#seen.ino)) return
    if (this.#seen && !(await this.#containsKnownValue())) throw this.#replacedError()
    await assertFolderOwner(this.path, Number(stats.uid))
    this.#seen = stats
  }

  async #stat(): Promise<BigIntStats | undefined> {
    let stats: BigIntStats
    try {
      // Inodes can exceed 2 ** 53, for example on overlayfs.
      stats = await stat(this.path, { bigint: true })
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT' && !this.#seen) return undefined
      // The mount point above the folder may deny access.
      if (errno === 'EACCES' && this.#seen) throw this.#replacedError(error)
      throw error
    }
    if (!stats.isDirectory()) throw Object.assign(new Error('it is not a folder'), { code: 'ENOTDIR' })
    return stats
  }

  async #containsKnownValue(): Promise<boolean> {
    for (const [key, known] of this.#known) {
      // Any failure to read, such as EACCES, means that the value is not there.
      const value = await readWhole(join(this.path, key)).catch(() => undefined)
      if (value && digest(value) === known) return true
    }
    return false
  }

  #replacedError(cause?: unknown): StoreError {
    return new StoreError(
      'ERR_STORE_CONTAINER',
      failureMessage(
        'use',
        nameOf(this.path),
        'another folder has replaced it, such as the mount point of an unmounted file system',
        'Mount the file system again. If you replaced the folder, restart the process.',
      ),
      { cause },
    )
  }
}

const digest = (value: Uint8Array): string => createHash('sha256').update(value).digest('base64')
