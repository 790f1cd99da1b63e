import { randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { CertCacheLock } from '../../cache/cert-cache.js'
import { holdLease, type Lease, leaseMs } from '../../cache/lease.js'
import { StoreError } from '../../util/errors.js'
import { unless } from './errors.js'

/** Locks of others that are watched at once; of more the oldest is forgotten, and waited for anew. */
const mostWatched = 1_000

interface Means {
  /** A new name in the folder, outside the alphabet of keys. */
  temporaryPath(): string
  /** Runs an operation under the store's time-out, its errors turned into ours. */
  run<T>(what: string, operation: () => Promise<T>): Promise<T>
}

/**
 * Locks made of three steps that a file system, NFS too, does for one alone, and whose failure says that somebody
 * else was first. A lock is a folder with one file, whose name is that of the holder and a number.
 *
 * - To take a free lock, a folder that is made ready is renamed to the lock's name: an empty folder there is replaced,
 *   one with a file in it is not.
 * - To keep it, the holder renames its file to the next number. That fails if somebody has taken it over.
 * - To take it over, the file is renamed from the name that it was seen to keep for the whole of a lease. That fails
 *   if the holder has kept the lock in the meantime, or another was first; however late it is done.
 *
 * So nobody removes what it has not seen, whatever was delayed, and released is a file that is unlinked by its name.
 */
export class DirLocks {
  /** What was seen of locks that somebody else has, and when first, by the monotonic clock. */
  readonly #watched = new LRUCache<string, { file: string; since: number }>({ max: mostWatched })
  readonly #folder: string
  readonly #means: Means

  constructor(folder: string, means: Means) {
    this.#folder = folder
    this.#means = means
  }

  async take(name: string): Promise<CertCacheLock | undefined> {
    const lockFolder = join(this.#folder, `${name}+lock`)
    const files = holderFiles(lockFolder)
    const acquire = async () => {
      const found = await this.#look(lockFolder)
      const taken = found
        ? await this.#takeOver(name, join(lockFolder, found), files(0))
        : await this.#takeFree(lockFolder, files(0))
      if (taken) this.#watched.delete(name)
      return taken
    }
    return holdLease(name, new DirLease(name, lockFolder, files, acquire, this.#means.run))
  }

  /** The name of the file in a lock that is not free. */
  async #look(lockFolder: string): Promise<string | undefined> {
    const there = await unless(['ENOENT'], undefined, lstat(lockFolder))
    if (!there?.isDirectory()) {
      // A link, or a file that somebody copied from another kind of store. If it is a lock by now, this fails.
      if (there) await unless(['ENOENT', 'EISDIR'], undefined, unlink(lockFolder))
      return undefined
    }
    const files = await unless(['ENOENT'], [], readdir(lockFolder))
    const file = files.find((name) => ofHolder.test(name))
    if (file !== undefined) return file
    // What desktops leave in folders would keep the lock from ever being free.
    for (const name of files) await removeStray(join(lockFolder, name))
    return undefined
  }

  async #takeFree(lockFolder: string, ours: string): Promise<boolean> {
    const prepared = this.#means.temporaryPath()
    await mkdir(prepared, { mode: 0o700 })
    try {
      await (await open(join(prepared, basename(ours)), 'wx', 0o600)).close()
      return await unless(['ENOTEMPTY', 'EEXIST', 'ENOTDIR'], false, moved(prepared, lockFolder, ours))
    } finally {
      await removePrepared(prepared, [basename(ours)]).catch(
        () => 'it was taken; or is removed when it is old',
      )
    }
  }

  async #takeOver(name: string, theirs: string, ours: string): Promise<boolean> {
    const now = performance.now()
    const watched = this.#watched.get(name)
    const same = watched?.file === theirs
    if (same && now - watched.since < leaseMs) return false
    this.#watched.delete(name)
    if (same) return moved(theirs, ours, ours)
    this.#watched.set(name, { file: theirs, since: now })
    return false
  }
}

class DirLease implements Lease {
  #number = 0

  private readonly name: string
  private readonly lockFolder: string
  private readonly files: (number: number) => string
  readonly acquire: () => Promise<boolean>
  private readonly run: Means['run']

  constructor(
    name: string,
    lockFolder: string,
    files: (number: number) => string,
    acquire: () => Promise<boolean>,
    run: Means['run'],
  ) {
    this.name = name
    this.lockFolder = lockFolder
    this.files = files
    this.acquire = acquire
    this.run = run
  }

  renew(): Promise<boolean> {
    return this.run(`keep the lock of ${this.name}`, async () => {
      for (let attempt = 1; attempt <= 3; attempt++) {
        const number = this.#number
        const next = this.files(number + 1)
        const done = await unless(['ENOENT'], 'not there', rename(this.files(number), next))
        if (done === 'not there' && !(await exists(next))) return false
        // One that timed out may still be under way beside this one.
        this.#number = Math.max(this.#number, number + 1)
        // Otherwise a former rename, of which no answer came, was done at a time that nobody knows.
        if (done !== 'not there') return true
      }
      return false
    })
  }

  async remove(): Promise<void> {
    await this.run(`unlock ${this.name}`, async () => {
      // A rename that is under way, or of which no answer came, is done before the first of these or after it.
      for (const file of [this.files(this.#number), this.files(this.#number + 1)]) {
        if ((await unless(['ENOENT'], 'not there', unlink(file))) !== 'not there') break
      }
      await rmdir(this.lockFolder).catch(() => 'free all the same; or taken')
    })
  }
}

/** What the files of a new holder are called. */
function holderFiles(lockFolder: string): (number: number) => string {
  const id = randomUUID()
  return (number) => join(lockFolder, `${id}.${number}`)
}

const ofHolder = /^[\da-f-]{36}\.\d+$/

/** A folder that was made ready to be a lock, and became none. */
export async function removePrepared(folder: string, files?: readonly string[]): Promise<void> {
  const ours = files ?? (await readdir(folder)).filter((name) => ofHolder.test(name))
  for (const name of ours) await unless(['ENOENT'], undefined, unlink(join(folder, name)))
  await rmdir(folder)
}

/** Nothing is removed but files, links themselves and empty folders: what is more than that is somebody's. */
async function removeStray(path: string): Promise<void> {
  const found = await unless(['ENOENT'], undefined, lstat(path))
  if (!found) return
  if (!found.isDirectory()) return unless(['ENOENT'], undefined, unlink(path))
  const outcome = await unless(
    ['ENOTEMPTY', 'EEXIST'],
    'not empty',
    unless(['ENOENT'], undefined, rmdir(path)),
  )
  if (outcome !== 'not empty') return
  throw new StoreError('ERR_STORE_FAILED', `the folder ${path} is in the way of a lock: move it elsewhere.`)
}

/**
 * False if what was to be renamed is not there. Where an answer was lost on the way, NFS may ask again for what it has
 * done already: then there is what the rename makes.
 */
async function moved(from: string, to: string, proof: string): Promise<boolean> {
  const outcome = await unless(['ENOENT'], 'not there', rename(from, to))
  return outcome !== 'not there' || exists(proof)
}

const exists = async (path: string) => (await unless(['ENOENT'], undefined, lstat(path))) !== undefined
