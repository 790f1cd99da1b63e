import { mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { failureMessage } from '../../cache/service-errors.js'
import { StoreError } from '../../util/errors.js'
import { ignoreErrno, nameOf } from './errors.js'
import { assertFolderOwner, readWhole } from './files.js'

/**
 * The folder of a store. Once it has been seen, its device and inode identify it, so that an empty mount point is not
 * mistaken for an empty store.
 */
export class Folder {
  readonly path: string
  /** The device and inode. Large inodes are rounded, each time to the same number. */
  #identity: string | undefined
  /** The value that was last read or written. A folder that contains it is the same one, mounted again. */
  #known: { readonly key: string; readonly value: Uint8Array } | undefined

  constructor(path: string) {
    this.path = path
  }

  /** Remembers a value that was read or written. */
  remember(key: string, value: Uint8Array): void {
    this.#known = { key, value: Uint8Array.from(value) }
  }

  /** Forgets a value that is going to change. */
  forget(key: string): void {
    if (this.#known?.key === key) this.#known = undefined
  }

  /** Creates the folder if it has never been seen: if it has vanished, its file system may not be mounted. */
  async create(): Promise<void> {
    if (this.#identity === undefined) await mkdir(this.path, { recursive: true, mode: 0o700 })
    await this.assertSame()
  }

  /**
   * Rejects if the folder has vanished or was replaced, is not a folder, or belongs to an untrusted user. Allows a
   * folder not yet created.
   * @throws {StoreError} `ERR_STORE_CONTAINER` if another folder is at the path
   */
  async assertSame(): Promise<void> {
    const seen = this.#identity
    const stats = await ignoreErrno(seen === undefined ? ['ENOENT'] : [], undefined, stat(this.path))
    if (!stats) return
    if (!stats.isDirectory()) throw Object.assign(new Error('it is not a folder'), { code: 'ENOTDIR' })
    const identity = `${stats.dev}:${stats.ino}`
    if (identity === seen) return
    await assertFolderOwner(this.path, stats)
    // A file system that is mounted again can have another device number.
    if (seen !== undefined && !(await this.#hasKnownValue())) throw this.#replacedError()
    this.#identity = identity
  }

  async #hasKnownValue(): Promise<boolean> {
    if (!this.#known) return false
    const { key, value } = this.#known
    // Any failure to read, such as EACCES, means that the value is not there.
    const found = await readWhole(join(this.path, key)).catch(() => undefined)
    return found !== undefined && Buffer.from(value).equals(found)
  }

  #replacedError(): StoreError {
    return new StoreError(
      'ERR_STORE_CONTAINER',
      failureMessage(
        'use',
        nameOf(this.path),
        'another folder has replaced it, such as the mount point of an unmounted file system',
        'Mount the file system again. If you replaced the folder, restart the process.',
      ),
    )
  }
}
