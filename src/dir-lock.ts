import { randomUUID } from 'node:crypto'
import { lstat, mkdir, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { CertCacheLock } from './cache.js'
import { unless } from './dir-errors.js'
import { LockLostError } from './errors.js'

/** How long a lock whose file keeps its name lasts. */
const leaseMs = 30_000
const beatEveryMs = 10_000
/** After a beat that failed without saying that the lock is lost. */
const retryBeatMs = 2_000
/** A lock counts as lost this long before its end: what it protects takes time to arrive, too. */
const marginMs = 5_000
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
  readonly #watched = new Map<string, { file: string; since: number }>()
  readonly #folder: string
  readonly #means: Means

  constructor(folder: string, means: Means) {
    this.#folder = folder
    this.#means = means
  }

  async take(name: string): Promise<CertCacheLock | undefined> {
    const lockFolder = join(this.#folder, `${name}+lock`)
    const id = randomUUID()
    const from = performance.now()
    const found = await this.#look(lockFolder)
    const taken = found
      ? await this.#takeOver(name, lockFolder, found, id)
      : await this.#takeFree(lockFolder, id)
    if (!taken) return undefined
    this.#watched.delete(name)
    return new DirLock(name, lockFolder, id, from, this.#means.run)
  }

  /** The name of the file in a lock that is not free. */
  async #look(lockFolder: string): Promise<string | undefined> {
    const files = await unless(['ENOENT'], [], unless(['ENOTDIR'], undefined, readdir(lockFolder)))
    // Somebody copied a lock of another kind of store into the folder. If it is a lock by now, this fails.
    if (!files) await unless(['ENOENT', 'EISDIR'], undefined, unlink(lockFolder))
    const file = files?.find((name) => ofHolder.test(name))
    if (file !== undefined) return file
    // What desktops leave in folders would keep the lock from ever being free.
    for (const name of files ?? []) await rm(join(lockFolder, name), { recursive: true, force: true })
    return undefined
  }

  async #takeFree(lockFolder: string, id: string): Promise<boolean> {
    const prepared = this.#means.temporaryPath()
    await mkdir(prepared, { mode: 0o700 })
    try {
      await (await open(join(prepared, fileName(id, 0)), 'wx', 0o600)).close()
      const others = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR']
      return await unless(others, false, moved(prepared, lockFolder, join(lockFolder, fileName(id, 0))))
    } finally {
      await rm(prepared, { recursive: true, force: true }).catch(() => 'removed when it is old')
    }
  }

  async #takeOver(name: string, lockFolder: string, file: string, id: string): Promise<boolean> {
    const now = performance.now()
    const watched = this.#watched.get(name)
    if (watched?.file === file && now - watched.since < leaseMs) return false
    this.#watched.delete(name)
    if (watched?.file !== file) {
      const [oldest] = this.#watched.size < mostWatched ? [] : this.#watched.keys()
      if (oldest !== undefined) this.#watched.delete(oldest)
      this.#watched.set(name, { file, since: now })
      return false
    }
    const ours = join(lockFolder, fileName(id, 0))
    return moved(join(lockFolder, file), ours, ours)
  }
}

class DirLock implements CertCacheLock {
  readonly #lost = new AbortController()
  readonly #name: string
  readonly #lockFolder: string
  readonly #id: string
  readonly #run: Means['run']
  #number = 0
  /** By the monotonic clock, from before the rename that proved it. */
  #provenUntil = 0
  #released = false
  #beat: NodeJS.Timeout | undefined
  #expiry: NodeJS.Timeout | undefined

  constructor(name: string, lockFolder: string, id: string, from: number, run: Means['run']) {
    this.#name = name
    this.#lockFolder = lockFolder
    this.#id = id
    this.#run = run
    this.#proved(from)
  }

  get signal(): AbortSignal {
    // Asked after a pause of the whole process, before the timer for it had its turn.
    if (performance.now() >= this.#provenUntil) this.#lose('it could not be renewed in time')
    return this.#lost.signal
  }

  async release(): Promise<void> {
    this.#released = true
    this.#stopTimers()
    await this.#run(`unlock ${this.#name}`, async () => {
      // A rename that is under way, or of which no answer came, ends before the first of these or after it.
      for (const number of [this.#number, this.#number + 1]) {
        if ((await unless(['ENOENT'], 'not there', unlink(this.#file(number)))) !== 'not there') break
      }
      await rmdir(this.#lockFolder).catch(() => 'free all the same; or taken')
    })
  }

  async #keep(): Promise<void> {
    try {
      const from = await this.#run(`keep the lock of ${this.#name}`, () => this.#renameFile())
      if (this.#released || this.#lost.signal.aborted) return
      if (from === undefined) return this.#lose('somebody else has taken it')
      this.#proved(from)
    } catch {
      // That it is lost was not said; until it ends there is time to try again.
      if (!this.#released && !this.#lost.signal.aborted) this.#keepIn(retryBeatMs)
    }
  }

  /** Since when the lock is proved; `undefined` if it is lost. */
  async #renameFile(): Promise<number | undefined> {
    for (let attempt = 0; attempt < 3 && !this.#released; attempt++) {
      const from = performance.now()
      const [file, next] = [this.#file(this.#number), this.#file(this.#number + 1)]
      const done = (await unless(
        ['ENOENT'],
        false,
        rename(file, next).then(() => true),
      )) as boolean
      if (!done && !(await exists(next))) return undefined
      this.#number += 1
      // Otherwise a former rename, of which no answer came, was done at a time that nobody knows.
      if (done) return from
    }
    return undefined
  }

  #file = (number: number) => join(this.#lockFolder, fileName(this.#id, number))

  #proved(from: number): void {
    this.#stopTimers()
    this.#provenUntil = from + leaseMs - marginMs
    const left = this.#provenUntil - performance.now()
    this.#expiry = setTimeout(() => this.#lose('it could not be renewed in time'), left).unref()
    this.#keepIn(beatEveryMs)
  }

  #keepIn(ms: number): void {
    this.#beat = setTimeout(() => void this.#keep(), ms).unref()
  }

  #stopTimers(): void {
    clearTimeout(this.#beat)
    clearTimeout(this.#expiry)
  }

  #lose(why: string): void {
    this.#stopTimers()
    if (this.#lost.signal.aborted) return
    this.#lost.abort(new LockLostError(`the lock of ${this.#name} is lost: ${why}`))
  }
}

const ofHolder = /^[\da-f-]{36}\.\d+$/
const fileName = (id: string, number: number) => `${id}.${number}`

/**
 * False if what was to be renamed is not there. Where an answer was lost on the way, NFS may ask again for what it has
 * done already: then there is what the rename makes.
 */
async function moved(from: string, to: string, proof: string): Promise<boolean> {
  const outcome = await unless(['ENOENT'], 'not there', rename(from, to))
  return outcome !== 'not there' || exists(proof)
}

const exists = async (path: string) => (await unless(['ENOENT'], undefined, lstat(path))) !== undefined
