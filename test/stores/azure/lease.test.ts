import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { holdLease } from '../../../src/cache/leases/lease.js'
import { AzureBlobCertCache, StoreError } from '../../../src/index.js'
import { acquireLease } from '../../../src/stores/azure/lease.js'

// These tests use a stub of the service, and virtual time.
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

async function granted() {
  const renewals: { resolve: (value: unknown) => void; reject: (error: Error) => void }[] = []
  let removals = 0
  let remove = async () => {}
  const blob = {
    upload: async () => ({}),
    delete: () => {
      removals += 1
      return remove()
    },
    getBlobLeaseClient: () => ({
      acquireLease: async () => ({}),
      renewLease: () => new Promise((resolve, reject) => renewals.push({ resolve, reject })),
    }),
  }
  const run = (_what: string, _signal: undefined, request: (signal: AbortSignal) => Promise<unknown>) =>
    request(new AbortController().signal)
  const lock = await acquireLease(blob, 'a.example', run as never)
  return {
    lock: lock ?? expect.unreachable(),
    renewals,
    removals: () => removals,
    onRemove: (fn: () => Promise<void>) => {
      remove = fn
    },
  }
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const busy = () => new StoreError('ERR_STORE_FAILED', 'busy', { statusCode: 503 })

test('a lease that is granted after 25 s is removed, and tryLock rejects', async () => {
  const acquire = async () => {
    await vi.advanceTimersByTimeAsync(25_000)
    return true
  }
  const remove = vi.fn(async () => {})
  const late = { code: 'ERR_STORE_TIMEOUT', message: expect.stringContaining('25 s') }
  const held = holdLease('a.example', { acquire, renew: async () => true, remove })
  await expect(held).rejects.toMatchObject(late)
  expect(remove).toHaveBeenCalledOnce()
  await pass(60_000)
})

/** Acquires a lease from a service that answers the first `missing` requests with BlobNotFound. */
async function acquiredAfter(missing: number) {
  const requests: string[] = []
  let left = missing
  const blob = {
    upload: async () => void requests.push('create'),
    delete: async () => {},
    getBlobLeaseClient: () => ({
      async acquireLease(seconds: number) {
        requests.push(`acquire for ${seconds} s`)
        return left-- > 0 ? undefined : {}
      },
      renewLease: async () => ({}),
    }),
  }
  const run = (_what: string, _signal: undefined, request: (signal: AbortSignal) => Promise<unknown>) =>
    request(new AbortController().signal)
  const lock = await acquireLease(blob, 'a.example', run as never)
  await lock?.release()
  return { isHeld: lock !== undefined, requests }
}

test('a lease of 30 s is requested again, up to twice, if another holder deletes the new blob', async () => {
  const [acquire, create] = ['acquire for 30 s', 'create']
  const acquired = { isHeld: true, requests: [acquire, create, acquire, create, acquire] }
  expect(await acquiredAfter(2)).toEqual(acquired)
  expect(await acquiredAfter(3)).toMatchObject({ isHeld: false })
})

test('a lease is renewed every 10 s', async () => {
  const { lock, renewals } = await granted()
  for (let times = 1; times <= 5; times++) {
    await pass(10_000)
    expect(renewals).toHaveLength(times)
    renewals.at(-1)?.resolve({})
  }
  expect(lock.signal.aborted).toBe(false)
})

test('a lease is lost 25 s after its last renewal; a failed renewal is retried after 2 s', async () => {
  const { lock, renewals } = await granted()
  await pass(10_000)
  renewals[0]?.reject(busy())
  await pass(2_000)
  renewals[1]?.reject(busy())
  await pass(12_999)
  expect(lock.signal.aborted).toBe(false)
  await pass(1)
  expect(lock.signal.aborted).toBe(true)
  expect(lock.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
})

test.each([404, 409, 412])(
  'a lease is lost as soon as a renewal returns the status %i',
  async (statusCode) => {
    const { lock, renewals } = await granted()
    await pass(10_000)
    if (statusCode === 404) renewals[0]?.resolve(undefined)
    else renewals[0]?.reject(new StoreError('ERR_STORE_FAILED', 'somebody else', { statusCode }))
    await pass(0)
    expect(lock.signal.aborted).toBe(true)
  },
)

test('the signal is aborted after a pause of the process, before any timer fires', async () => {
  const { lock } = await granted()
  const now = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 90_000)
  expect(lock.signal.aborted).toBe(true)
  now.mockRestore()
})

test('the signal is aborted after a suspension of the machine, during which the monotonic clock stood still', async () => {
  const { lock } = await granted()
  const taken = Date.now()
  const wall = vi.spyOn(Date, 'now').mockReturnValue(taken + 24_999)
  expect(lock.signal.aborted).toBe(false)
  wall.mockReturnValue(taken + 25_000)
  expect(lock.signal.aborted).toBe(true)
  expect(lock.signal.reason).toMatchObject({ code: 'ERR_LOCK_LOST' })
  wall.mockRestore()
})

test('setting the wall clock back does not extend a lease', async () => {
  const { lock } = await granted()
  vi.setSystemTime(Date.now() - 3_600_000)
  await pass(24_999)
  expect(lock.signal.aborted).toBe(false)
  await pass(1)
  expect(lock.signal.aborted).toBe(true)
})

test('a released lease is not renewed, even if a renewal was in progress and the removal fails', async () => {
  const { lock, renewals, removals, onRemove } = await granted()
  onRemove(() => Promise.reject(busy()))
  await pass(10_000)
  const released = expect(lock.release()).rejects.toThrow('busy')
  renewals[0]?.resolve({})
  await released
  await pass(120_000)
  expect(renewals).toHaveLength(1)
  expect(removals()).toBe(1)
})

test('inspecting a lock shows no part of the client', async () => {
  const { inspect } = await import('node:util')
  const { lock } = await granted()
  expect(inspect(lock, { depth: 5 })).not.toMatch(/blob|lease.*[Cc]lient|acquireLease/)
})

test('a released lease leaves no timer', async () => {
  const { lock, renewals } = await granted()
  expect(vi.getTimerCount()).toBe(2)
  await lock.release()
  expect(vi.getTimerCount()).toBe(0)
  const second = await granted()
  await pass(10_000)
  await second.lock.release()
  second.renewals[0]?.resolve({})
  await pass(0)
  expect(vi.getTimerCount()).toBe(0)
  expect(renewals).toHaveLength(0)
})

test('a lease that is lost by a renewal or by time leaves no timer', async () => {
  const stolen = await granted()
  await pass(10_000)
  stolen.renewals[0]?.resolve(undefined)
  await pass(0)
  expect(stolen.lock.signal.aborted).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
  const silent = await granted()
  await pass(25_000)
  expect(silent.lock.signal.aborted).toBe(true)
  silent.renewals[0]?.reject(busy())
  await pass(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('each request of tryLock has its own time-out: a service that takes 4 s grants the lock', async () => {
  const requests: string[] = []
  const answer = async (request: string) => {
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    const exists = requests.includes('create')
    requests.push(request)
    if (exists || request === 'create') return {}
    throw Object.assign(new Error('BlobNotFound'), {
      statusCode: 404,
      details: { errorCode: 'BlobNotFound' },
    })
  }
  const blob = {
    upload: () => answer('create'),
    getBlobLeaseClient: () => ({ acquireLease: () => answer('acquire'), renewLease: () => answer('renew') }),
  }
  const container = { containerName: 'certs', getBlockBlobClient: () => blob }
  const locked = new AzureBlobCertCache(container as never).tryLock('a.example')
  await pass(12_000)
  expect((await locked)?.signal.aborted).toBe(false)
  expect(requests).toEqual(['acquire', 'create', 'acquire'])
})

test.each(['BlobImmutableDueToPolicy', 'ContainerDisabled'])(
  'tryLock rejects on %s, which is not another holder',
  async (errorCode) => {
    const refuse = () =>
      Promise.reject(Object.assign(new Error(errorCode), { statusCode: 409, details: { errorCode } }))
    const blob = { upload: refuse, delete: refuse, getBlobLeaseClient: () => ({ acquireLease: refuse }) }
    const container = { containerName: 'certs', getBlockBlobClient: () => blob }
    const locked = new AzureBlobCertCache(container as never).tryLock('a.example')
    await expect(locked).rejects.toMatchObject({ code: 'ERR_STORE_FAILED', statusCode: 409 })
  },
)
