// Stored bytes as the service sees them: faults, shared bytes, and reads during a renewal.
import { expect, test } from 'vitest'
import type { CertCache } from '../../src/index.js'
import { host as hostOf, occasion } from '../support/cert-id.js'
import { openService } from '../support/certificate-service.js'
import { makeBundle } from '../support/certificates.js'

const a = hostOf('a.example')
const b = hostOf('b.example')
const notACertificate = (text: string) => Buffer.from(text)

/** A service and the faults that it has reported, as `host: reason`. */
function open(max?: number) {
  const opened = openService(max)
  const { events, details, store, service } = opened
  const faults = () =>
    details
      .filter((_, index) => events[index] === 'invalid')
      .map((detail) => {
        const { host, key, reason } = detail as { host: string; key: string; reason: string }
        expect(key).toBe(host)
        return `${host}: ${reason}`
      })
  const read = (host: string, data: Uint8Array) => {
    store.values.set(host, data)
    return service.find(hostOf(host), occasion)
  }
  return { ...opened, faults, read }
}

test('a context is created once, however often the bytes are read', async () => {
  const { store, entered, read, service } = open()
  const { data, serialNumber } = await makeBundle({ host: a })
  const live = (await read(a, data)) ?? expect.unreachable()
  expect(live).toMatchObject({ serialNumber, source: 'store' })
  expect(service.fromMemory(a)).toBe(live)
  expect(await service.refresh(live.id)).toBe(live)
  expect(await service.obtain(a, occasion)).toBe(live)
  expect(store.take()).toHaveLength(2)
  expect(entered).toEqual([live])
})

test('a certificate is not served after it has expired', async () => {
  const { clock, read, service, faults } = open()
  const { data } = await makeBundle({ host: a })
  const { notAfter } = (await read(a, data)) ?? expect.unreachable()
  clock.advance(notAfter - 1 - clock.now())
  expect(service.fromMemory(a)).toBeDefined()
  clock.advance(1)
  expect(service.fromMemory(a)).toBeUndefined()
  expect(await service.find(a, occasion)).toBeUndefined()
  expect(faults()).toEqual(['a.example: expired'])
})

test('a faulty value is reported once, even when equal bytes are read again', async () => {
  const { read, service, faults } = open()
  expect(await read(a, notACertificate('not PEM'))).toBeUndefined()
  expect(await service.find(a, occasion)).toBeUndefined()
  await expect(service.obtain(a, occasion)).rejects.toThrow('no')
  expect(faults()).toEqual(['a.example: no private key'])
})

test('a different faulty value is reported, and so is the same value for another host', async () => {
  const { read, faults } = open()
  await read(a, notACertificate('one'))
  await read(a, notACertificate('two'))
  await read(b, notACertificate('two'))
  await read(b, (await makeBundle({ host: a })).data)
  expect(faults()).toEqual([
    'a.example: no private key',
    'a.example: no private key',
    'b.example: no private key',
    'b.example: another host',
  ])
})

test('the faults of the 1,000 most recent hosts are tracked', async () => {
  const { read, faults } = open()
  for (let index = 0; index <= 1_000; index++) await read(`host-${index}.example`, notACertificate('one'))
  expect(faults()).toHaveLength(1_001)
  await read('host-1.example', notACertificate('one'))
  await read('host-1000.example', notACertificate('one'))
  expect(faults()).toHaveLength(1_001)
  await read('host-0.example', notACertificate('one'))
  expect(faults()).toHaveLength(1_002)
})

test('bytes that a store returns for two hosts as the same object are valid for theirs alone', async () => {
  const { data } = await makeBundle({ host: a })
  const ordered = await makeBundle({ host: b })
  const values = new Map<string, Uint8Array>([
    [a, data],
    [b, data],
  ])
  const store: CertCache = {
    get: async (key) => values.get(key),
    put: async (key, value) => void values.set(key, value),
    delete: async (key) => void values.delete(key),
  }
  const { world, service, events, details } = openService(1, store)
  world.placeOrder = async () => ordered.data
  const live = await service.obtain(a, occasion)
  expect(await service.obtain(b, occasion)).toMatchObject({
    source: 'acme',
    serialNumber: ordered.serialNumber,
  })
  expect(events).toEqual(['loaded', 'invalid', 'issued'])
  expect(details[1]).toEqual({ host: b, key: b, reason: 'another host' })
  // Memory has room for one.
  expect(service.fromMemory(a)).toBeUndefined()
  expect(await service.obtain(a, occasion)).toMatchObject({
    source: 'store',
    serialNumber: live.serialNumber,
  })
  expect(world.orders).toBe(1)
  expect(events).toEqual(['loaded', 'invalid', 'issued', 'loaded'])
})

test('requests for a host that was evicted during its renewal load its certificate into memory once', async () => {
  const { store, world, service, events, entered } = open(1)
  const { data, serialNumber } = await makeBundle({ host: a })
  const renewed = await makeBundle({ host: a, notBefore: new Date(Date.now() + 1_000) })
  for (const [host, bytes] of [
    [a, data],
    [b, (await makeBundle({ host: b })).data],
  ] as const)
    store.values.set(host, bytes)
  const due = await service.obtain(a, occasion)
  let issue = (_: Uint8Array) => {}
  const ordered = new Promise<void>((resolve) => {
    world.placeOrder = () => {
      resolve()
      return new Promise((answer) => {
        issue = answer
      })
    }
  })
  const renewal = service.renew(due)
  await ordered
  await service.obtain(b, occasion)
  expect(service.fromMemory(a)).toBeUndefined()
  events.length = 0
  entered.length = 0
  const found = await Promise.all(Array.from({ length: 5 }, () => service.obtain(a, occasion)))
  expect(new Set(found).size).toBe(1)
  expect(found[0]).toMatchObject({ serialNumber, source: 'store' })
  expect(events).toEqual(['loaded'])
  expect(entered).toEqual([found[0]])
  expect(service.fromMemory(a)).toBe(found[0])
  issue(renewed.data)
  await renewal
  expect(world.orders).toBe(1)
  expect(events).toEqual(['loaded', 'renewed'])
  expect(service.fromMemory(a)).toMatchObject({ serialNumber: renewed.serialNumber })
})
