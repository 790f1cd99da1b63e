import { beforeAll, expect, test } from 'vitest'
import {
  isNewer,
  type LiveCertificate,
  loadCertificate,
  toCertificate,
} from '../../src/certificates/live-certificate.js'
import { RenewalTimes } from '../../src/certificates/renewal-time.js'
import { certId } from '../support/cert-id.js'
import { makeBundle } from '../support/certificates.js'
import { VirtualClock } from '../support/virtual-clock.js'

const id = certId('example.com')
let bundle: Awaited<ReturnType<typeof makeBundle>>
beforeAll(async () => {
  bundle = await makeBundle()
})

function open() {
  const clock = new VirtualClock()
  const renewalTimes = new RenewalTimes(undefined)
  const load = (data: Uint8Array, certificate = id) =>
    loadCertificate(data, certificate, 'store', { clock, renewalTimes })
  const loadOrFail = (data: Uint8Array): LiveCertificate => {
    const live = load(data)
    return typeof live === 'string' ? expect.unreachable(live) : live
  }
  return { clock, renewalTimes, load, loadOrFail }
}

test('stored bytes become a certificate with a context, which converts to the public class', () => {
  const { renewalTimes, loadOrFail } = open()
  const live = loadOrFail(bundle.data)
  expect(live).toMatchObject({ id, serialNumber: bundle.serialNumber, source: 'store', data: bundle.data })
  expect(live.context.context).toBeDefined()
  expect(live.schedule).toMatchObject({ renewAt: renewalTimes.of(live).at, renewAtSource: 'lifetime' })
  expect(toCertificate(live)).toMatchObject({
    host: 'example.com',
    serialNumber: bundle.serialNumber,
    cert: bundle.chain,
    notAfter: new Date(live.notAfter),
  })
})

test('each load creates a context of its own', () => {
  const { loadOrFail } = open()
  expect(loadOrFail(bundle.data).context).not.toBe(loadOrFail(bundle.data).context)
})

test('a certificate is a fault for another host, however often its bytes are loaded, and after it has expired', () => {
  const { clock, load, loadOrFail } = open()
  const { notAfter } = loadOrFail(bundle.data)
  expect(load(bundle.data, certId('other.example'))).toBe('another host')
  clock.advance(notAfter - 1 - clock.now())
  expect(loadOrFail(bundle.data)).toMatchObject({ notAfter })
  clock.advance(1)
  expect(load(bundle.data)).toBe('expired')
})

test('bytes without a key are a fault', () => {
  const { load } = open()
  expect(load(Buffer.from('not PEM'))).toBe('no private key')
})

test('a certificate issued later replaces the current one; of the same second, one that expires no earlier', () => {
  const { loadOrFail } = open()
  const current = loadOrFail(bundle.data)
  const { notBefore, notAfter } = current
  const replaces = (change: Partial<LiveCertificate>) =>
    isNewer({ ...current, serialNumber: '05', ...change }, current)
  expect(replaces({ notBefore: notBefore + 1_000, notAfter: notAfter - 1_000 })).toBe(true)
  expect(replaces({ notBefore: notBefore - 1_000, notAfter: notAfter + 1_000 })).toBe(false)
  expect(replaces({})).toBe(true)
  expect(replaces({ notAfter: notAfter + 1_000 })).toBe(true)
  expect(replaces({ notAfter: notAfter - 1_000 })).toBe(false)
  expect(isNewer({ ...current, notBefore: notBefore + 1_000 }, current)).toBe(false)
})
