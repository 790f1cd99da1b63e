import { randomUUID } from 'node:crypto'
import { type BrokenStore, type Options, Through } from './through.js'

const leaseMs = 1_000

let turn: Promise<unknown> = Promise.resolve()
/** One after the other, in place of a real store's conditions: two renewals at one moment would hide which came last. */
function createMutex<T>(work: () => Promise<T>): Promise<T> {
  const done = turn.then(work)
  turn = done.catch(() => undefined)
  return done
}

/** Locks that end by themselves, kept as values. */
class Leasing extends Through {
  override async tryLock(name: string, options: Options) {
    const key = `${name}+lock`
    const id = randomUUID()
    const read = async (): Promise<{ id?: string; until?: number }> =>
      JSON.parse(Buffer.from((await this.inner.get(key, options)) ?? Buffer.from('{}')).toString())
    const write = () =>
      this.inner.put(key, Buffer.from(JSON.stringify({ id, until: performance.now() + leaseMs })))
    const isOurs = async () => (await read()).id === id
    const taken = await createMutex(async () => {
      const held = ((await read()).until ?? 0) > performance.now()
      if (!held) await write()
      return !held
    })
    if (!taken) return undefined
    const lost = new AbortController()
    const renew = async () => {
      const held = await isOurs()
      if (!held) lost.abort(new Error('somebody else has it'))
      if (held || this.takesBack) await write()
    }
    const renewal = setInterval(
      () => createMutex(renew).catch((error) => lost.abort(error)),
      leaseMs / 5,
    ).unref()
    let released = false
    const release = async () => {
      clearInterval(renewal)
      if (released || !(await this.mayRelease(isOurs))) return
      released = true
      await this.inner.delete(key)
    }
    return { signal: lost.signal, release: () => createMutex(release) }
  }
  protected readonly takesBack: boolean = false
  protected mayRelease = (isOurs: () => Promise<boolean>) => isOurs()
}

export const brokenLocks: readonly BrokenStore[] = [
  [
    'gives one lock to all',
    /exclusive|one gets the lock|one after the other/,
    class extends Through {
      override tryLock = async () => ({ signal: new AbortController().signal, release: async () => {} })
    },
  ],
  [
    'asks and then takes',
    /of many tries at once/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        if (await this.inner.get(`${name}+lock`, options)) return undefined
        await this.inner.put(`${name}+lock`, new Uint8Array(), options)
        return {
          signal: new AbortController().signal,
          release: () => this.inner.delete(`${name}+lock`),
        }
      }
    },
  ],
  [
    'lets anybody release',
    /its owner only/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        if (await this.inner.get(`${name}+lock`, options)) return undefined
        await this.inner.put(`${name}+lock`, new Uint8Array(), options)
        return {
          signal: new AbortController().signal,
          release: () => this.inner.delete(`${name}+lock`),
        }
      }
    },
  ],
  [
    'keeps a lock in the value of its name',
    /disturbs nothing/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        await this.inner.put(name, new Uint8Array(), options)
        return this.inner.tryLock(name, options)
      }
    },
  ],
  [
    'has one lock for all names',
    /every key can be the name of a lock/,
    class extends Through {
      override tryLock = (_: string, options: Options) => this.inner.tryLock('lock', options)
    },
  ],
  [
    'never says that a lock is lost',
    /holder that has gone/,
    class extends Through {
      override async tryLock(name: string, options: Options) {
        const lock = await this.inner.tryLock(name, options)
        return lock && { signal: new AbortController().signal, release: () => lock.release() }
      }
    },
  ],
  [
    'gives back, once, whatever lock is there',
    /holder that has gone/,
    class extends Leasing {
      override mayRelease = async () => true
    },
  ],
  [
    'goes on renewing a lock that it has lost',
    /holder that has gone/,
    class extends Leasing {
      override takesBack = true
    },
  ],
]
