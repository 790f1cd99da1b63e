import { randomUUID } from 'node:crypto'
import { type BrokenStore, ForwardingStore, type Options } from './broken-store.js'

const leaseMs = 1_000

let queue: Promise<unknown> = Promise.resolve()
/** Runs operations one after the other. A real store uses conditional writes instead. */
function runExclusive<T>(operation: () => Promise<T>): Promise<T> {
  const result = queue.then(operation)
  queue = result.catch(() => undefined)
  return result
}

/** Stores locks as values that expire. */
class LeasingStore extends ForwardingStore {
  override async tryLock(name: string, options: Options) {
    const key = `${name}+lock`
    const id = randomUUID()
    const read = async (): Promise<{ id?: string; until?: number }> =>
      JSON.parse(Buffer.from((await this.inner.get(key, options)) ?? Buffer.from('{}')).toString())
    const write = () =>
      this.inner.put(key, Buffer.from(JSON.stringify({ id, until: performance.now() + leaseMs })))
    const isHolder = async () => (await read()).id === id
    const isAcquired = await runExclusive(async () => {
      const isHeld = ((await read()).until ?? 0) > performance.now()
      if (!isHeld) await write()
      return !isHeld
    })
    if (!isAcquired) return undefined
    const controller = new AbortController()
    const renew = async () => {
      const isHeld = await isHolder()
      if (!isHeld) controller.abort(new Error('another holder has the lock'))
      if (isHeld || this.renewsLostLocks) await write()
    }
    const renewal = setInterval(
      () => runExclusive(renew).catch((error) => controller.abort(error)),
      leaseMs / 5,
    ).unref()
    let isReleased = false
    const release = async () => {
      clearInterval(renewal)
      if (isReleased || !(await this.mayRelease(isHolder))) return
      isReleased = true
      await this.inner.delete(key)
    }
    return { signal: controller.signal, release: () => runExclusive(release) }
  }
  protected readonly renewsLostLocks: boolean = false
  protected mayRelease = (isHolder: () => Promise<boolean>) => isHolder()
}

/** Checks for a lock and then writes it, without a condition, and releases any holder's lock. */
class UnconditionalStore extends ForwardingStore {
  override async tryLock(name: string, options: Options) {
    const key = `${name}+lock`
    if (await this.inner.get(key, options)) return undefined
    await this.inner.put(key, new Uint8Array(), options)
    return { signal: new AbortController().signal, release: () => this.inner.delete(key) }
  }
}

export const brokenLocks: readonly BrokenStore[] = [
  [
    'grants one lock to every machine',
    /exclusive|exactly one of many|never overlaps/,
    class extends ForwardingStore {
      override tryLock = async () => ({ signal: new AbortController().signal, release: async () => {} })
    },
  ],
  ['checks for a lock and then writes it', /exactly one of many/, UnconditionalStore],
  ['lets any machine release a lock', /only the holder can release/, UnconditionalStore],
  [
    'stores a lock in the value of its name',
    /with the same name do not affect/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        await this.inner.put(name, new Uint8Array(), options)
        return this.inner.tryLock(name, options)
      }
    },
  ],
  [
    'uses one lock for all names',
    /every key is a valid name of a lock/,
    class extends ForwardingStore {
      override tryLock = (_: string, options: Options) => this.inner.tryLock('lock', options)
    },
  ],
  [
    'never reports that a lock is lost',
    /only after the signal of the holder aborts/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        return lock && { signal: new AbortController().signal, release: () => lock.release() }
      }
    },
  ],
  [
    'reports that a lock is lost only to callers that read its signal again',
    /only after the signal of the holder aborts/,
    class extends ForwardingStore {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        if (!lock) return undefined
        return {
          get signal() {
            return lock.signal.aborted ? lock.signal : new AbortController().signal
          },
          release: () => lock.release(),
        }
      }
    },
  ],
]

/** Detected only after a real lease has expired. */
export const brokenLeases: readonly BrokenStore[] = [
  [
    'releases the lock of another holder, once',
    /only after the signal of the holder aborts/,
    class extends LeasingStore {
      override mayRelease = async () => true
    },
  ],
  [
    'renews a lock that it has lost',
    /only after the signal of the holder aborts/,
    class extends LeasingStore {
      override renewsLostLocks = true
    },
  ],
]
