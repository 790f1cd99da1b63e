// A process with a DirCertCache on the folder, which runs the tasks of the test one after the other.
import { closeSync, open, openSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { DirCertCache } from 'acme-cert-cache'

/**
 * @typedef {{ do: 'get' | 'put' | 'delete' | 'lock' | 'state' | 'release' | 'count' | 'write' | 'user' | 'pass'
 *   | 'list' | 'openFiles' | 'exhaust' | 'free',
 *   key?: string, value?: string, times?: number, ms?: number }} Task
 */

let passedMs = 0
const realNow = performance.now.bind(performance)
performance.now = () => realNow() + passedMs

const cache = new DirCertCache(String(process.argv[2]))
/** @type {import('acme-cert-cache').CertCacheLock | undefined} */
let lock
/** @type {number[]} */
const taken = []

const tasks = {
  get: async (/** @type {Task} */ { key = '' }) => text(await cache.get(key)),
  put: (/** @type {Task} */ { key = '', value = '' }) => cache.put(key, Buffer.from(value)),
  delete: (/** @type {Task} */ { key = '' }) => cache.delete(key),
  async lock(/** @type {Task} */ { key = '' }) {
    lock = (await cache.tryLock(key)) ?? lock
    return { held: lock !== undefined }
  },
  state: async () => ({ aborted: lock?.signal.aborted, code: lock?.signal.reason?.code }),
  release: () => lock?.release(),
  /** Increments a number, each time under the lock. */
  async count(/** @type {Task} */ { key = '', times = 1 }) {
    for (let done = 0; done < times; ) {
      const turn = await cache.tryLock(key)
      if (!turn) continue
      await cache.put(key, Buffer.from(String(Number((await text(await cache.get(key))) ?? '0') + 1)))
      await turn.release()
      done += 1
    }
  },
  /** Writes until the process is killed. */
  async write(/** @type {Task} */ { key = '' }) {
    for (let at = 0; ; at++) {
      await cache.put(key, Buffer.alloc(1_000_000, at % 250))
      if (at === 0) process.send?.({ writing: true })
    }
  },
  user: async () => process.setuid?.(65_534),
  async list() {
    const names = []
    for await (const { name } of cache.list()) names.push(name)
    return names.sort()
  },
  /** Returns the files that are open in the folder. Node opens and closes other descriptors at any time. */
  async openFiles() {
    await backgroundWork()
    const folder = realpathSync(String(process.argv[2]))
    return readdirSync('/proc/self/fd')
      .map(target)
      .filter((path) => path.startsWith(folder))
  },
  /** Opens files until no descriptor is left. */
  async exhaust() {
    await backgroundWork()
    for (;;) {
      try {
        taken.push(openSync('/dev/null', 'r'))
      } catch {
        return
      }
    }
  },
  async free() {
    for (const descriptor of taken.splice(0)) closeSync(descriptor)
  },
  /** Advances the monotonic clock without firing timers, as a pause of the process does. */
  async pass(/** @type {Task} */ { ms = 0 }) {
    passedMs += ms
  },
}

/** Ends with the file operations that outlast their task, such as the close of a listed folder. */
async function backgroundWork() {
  const isBusy = () => process.getActiveResourcesInfo().some((name) => /^(FSReq|CloseReq)/.test(name))
  while (isBusy()) await new Promise(setImmediate)
}

/** Returns what a descriptor refers to; nothing for that of the list itself, which is closed. */
const target = (/** @type {string} */ descriptor) => {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}

const text = (/** @type {Uint8Array | undefined} */ value) => value && Buffer.from(value).toString()

process.on('disconnect', () => process.exit())
process.on('message', async (/** @type {Task} */ task) => {
  try {
    process.send?.({ value: await tasks[task.do](task) })
  } catch (error) {
    const { code, message } = /** @type {Error & { code: string }} */ (error)
    process.send?.({ error: { code, message } })
  }
})
if (process.env.TEST_HANG) {
  open(process.env.TEST_HANG, () => {})
  // No file operation can end any more, so shorter time-outs save waiting.
  const realSetTimeout = globalThis.setTimeout
  globalThis.setTimeout = /** @type {typeof setTimeout} */ (
    (/** @type {() => void} */ fn, ms = 0) => realSetTimeout(fn, ms / 50)
  )
}
process.send?.({ ready: true })
