import { afterEach, expect, test, vi } from 'vitest'
import type { AnonymousResponse, Connection } from '../../src/cli/container/connection.js'
import { type Check, type Finding, failed } from '../../src/cli/doctor/finding.js'
import { checkStore } from '../../src/cli/doctor/store.js'
import { StoreError } from '../../src/index.js'
import { MemoryCertCache } from '../../src/testing/index.js'

const now = Date.UTC(2026, 0, 1)
const closed: AnonymousResponse = { status: 404, code: 'ResourceNotFound', date: now }

afterEach(() => vi.restoreAllMocks())

/** Runs the checks of doctor on a store in memory, as the command does, with a clock that stands still. */
async function check(
  store: MemoryCertCache = new MemoryCertCache(),
  anonymous: Partial<AnonymousResponse> = {},
  beforeCheck: (name: string) => void = () => undefined,
) {
  vi.spyOn(Date, 'now').mockReturnValue(now)
  const connection = {
    store,
    containerName: 'certs',
    readAnonymously: async () => ({ ...closed, ...anonymous }),
  } as unknown as Connection
  const findings: Record<string, Finding> = {}
  const record: Check = async (name, work) => {
    beforeCheck(name)
    const finding = await work().catch((thrown: Error) => failed(thrown.message))
    findings[name] = finding
    return finding
  }
  const canWrite = await checkStore(record, connection)
  return { findings, canWrite }
}

async function keysOf(store: MemoryCertCache) {
  const keys: string[] = []
  for await (const { name } of store.list()) keys.push(name)
  return keys
}

const second = 1_000
test.each([
  ['the same', 0, 'ok', /^within 1 s/],
  ['30 s ahead', -30 * second - 1_000, 'ok', /^within 30 s/],
  ['more than 30 s ahead', -31 * second - 1_000, 'warning', /^31 s ahead of .* with NTP\.$/],
  ['30 s behind', 30 * second, 'ok', /^within 30 s/],
  ['more than 30 s behind', 31 * second, 'warning', /^31 s behind /],
  ['5 min behind', 300 * second, 'warning', /^300 s behind /],
  ['more than 5 min behind', 301 * second, 'failed', /^301 s behind /],
  ['more than 5 min ahead', -301 * second - 1_000, 'failed', /^301 s ahead of /],
  ['unknown', Number.NaN, 'warning', /no Date header/],
] as const)('compares clocks: %s', async (_name, offsetMs, status, text) => {
  const { findings } = await check(undefined, { date: now + offsetMs })
  expect(findings.clock).toEqual({ status, text: expect.stringMatching(text) })
})

test.each([
  [200, undefined, 'failed'],
  [404, 'BlobNotFound', 'failed'],
  [404, 'ResourceNotFound', 'ok'],
  [401, 'NoAuthenticationInformation', 'ok'],
  [403, 'AuthenticationFailed', 'ok'],
  [409, 'PublicAccessNotPermitted', 'ok'],
  [503, 'ServerBusy', 'warning'],
])('doctor rates a response of %i %s to a read without credentials as %s', async (code, name, status) => {
  const { findings } = await check(undefined, { status: code, code: name })
  expect(findings.private?.status).toBe(status)
})

test.each([
  [1_000, 'ok', 'wrote a blob (1000 ms)'],
  [1_001, 'warning', expect.stringMatching(/^wrote a blob \(1001 ms\)\. .* choose a region closer/)],
])('doctor reports a write that takes %i ms as %s', async (durationMs, status, text) => {
  const stopwatch = vi.spyOn(performance, 'now').mockReturnValue(0)
  class SlowStore extends MemoryCertCache {
    override async put(...args: Parameters<MemoryCertCache['put']>) {
      await super.put(...args)
      stopwatch.mockReturnValue(durationMs)
    }
  }
  const { findings } = await check(new SlowStore())
  expect(findings.write).toEqual({ status, text })
  expect(findings.read?.status).toBe('ok')
})

test('doctor fails if the store returns other bytes than were written', async () => {
  class WrongStore extends MemoryCertCache {
    override async get(...args: Parameters<MemoryCertCache['get']>) {
      return (await super.get(...args)) && Buffer.from('other')
    }
  }
  const { findings } = await check(new WrongStore())
  expect(findings.read).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('other bytes than written'),
  })
})

test('doctor fails if the store grants a lock twice, and releases the lock', async () => {
  const store = new MemoryCertCache()
  const released: string[] = []
  vi.spyOn(store, 'tryLock').mockImplementation(async (key) => ({
    signal: new AbortController().signal,
    release: async () => void released.push(key),
  }))
  const { findings } = await check(store)
  expect(findings.lock).toMatchObject({
    status: 'failed',
    text: expect.stringContaining('the same lease twice'),
  })
  expect(released).toHaveLength(1)
})

test('doctor fails if another machine holds the lock of a new blob', async () => {
  const store = new MemoryCertCache()
  vi.spyOn(store, 'tryLock').mockResolvedValue(undefined)
  const { findings } = await check(store)
  expect(findings.lock).toMatchObject({ status: 'failed', text: expect.stringContaining('Run doctor again') })
})

test('doctor reports a blob that cannot be deleted, and tries to delete it only once', async () => {
  const store = new MemoryCertCache()
  const remove = vi.spyOn(store, 'delete').mockRejectedValue(new StoreError('ERR_STORE_FAILED', 'no'))
  const { findings, canWrite } = await check(store)
  expect(findings.delete?.status).toBe('failed')
  expect(findings.delete?.text).toMatch(/^no\. The blob "doctor-\S+" remains until clean removes it\.$/)
  expect(remove).toHaveBeenCalledTimes(1)
  expect(canWrite).toBe(true)
})

test.each(['read', 'lock', 'delete'])(
  'doctor removes its blob if it is stopped before the %s check',
  async (name) => {
    const store = new MemoryCertCache()
    const stop = (check: string) => {
      if (check === name) throw new Error('stopped')
    }
    await expect(check(store, {}, stop)).rejects.toThrow('stopped')
    expect(await keysOf(store)).toEqual([])
  },
)

test('doctor skips the checks that need the container, and removes nothing, if the container cannot be read', async () => {
  const store = new MemoryCertCache()
  store.cutOff()
  const { findings, canWrite } = await check(store)
  expect(Object.keys(findings)).toEqual(['clock', 'container'])
  expect(canWrite).toBe(false)
})
