// A machine that uses a folder: a process with a DirCertCache, told what to do by the test, one thing after the other.
import { open } from 'node:fs'
import { DirCertCache } from 'acme-cert-cache'

/**
 * @typedef {{ do: 'get' | 'put' | 'delete' | 'lock' | 'state' | 'release' | 'count' | 'write' | 'user',
 *   key?: string, value?: string, times?: number }} Task
 */

const cache = new DirCertCache(String(process.argv[2]))
/** @type {import('acme-cert-cache').CertCacheLock | undefined} */
let lock

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
  /** Increments, each under the lock. */
  async count(/** @type {Task} */ { key = '', times = 1 }) {
    for (let done = 0; done < times; ) {
      const turn = await cache.tryLock(key)
      if (!turn) continue
      await cache.put(key, Buffer.from(String(Number((await text(await cache.get(key))) ?? '0') + 1)))
      await turn.release()
      done += 1
    }
  },
  /** Until it is killed. */
  async write(/** @type {Task} */ { key = '' }) {
    for (let at = 0; ; at++) {
      await cache.put(key, Buffer.alloc(1_000_000, at % 250))
      if (at === 0) process.send?.({ writing: true })
    }
  },
  user: async () => process.setuid?.(65_534),
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
if (process.env.TEST_HANG) open(process.env.TEST_HANG, () => {})
process.send?.({ ready: true })
