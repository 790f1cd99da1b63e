import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AzureBlobCertCache, CertManager, type CertManagerOptions } from '../../src/index.js'
import { freshContainer } from '../support/azure.js'
import { type Gate, openGate } from '../support/gate.js'
import { ShiftingClock } from '../support/shifting-clock.js'
import { handshake, startMachine } from '../support/tls.js'

/** A CA that validates at the two ports and has the profiles `default` and `shortlived`. */
export interface CaUnderTest {
  readonly directoryUrl: string
  /** PEM, for the CA's own HTTPS. */
  readonly endpointCertificate: string
  /** PEM, for the certificates it issues. */
  readonly rootCertificate: string
  /** Sets the renewal window of a certificate (PEM), in milliseconds since the epoch. */
  suggestRenewal(certificate: string, window: { start: number; end: number }): Promise<void>
  close(): Promise<void>
}

type StartCa = (ports: { httpPort: number; tlsPort: number }) => Promise<CaUnderTest>

/** Defines the end-to-end tests, the same for every CA: a real container, handshakes and challenges. */
export function endToEnd(name: string, startCa: StartCa) {
  describe(`end to end with ${name}`, () => {
    let ca: CaUnderTest
    let gates: { http: Gate; tls: Gate }
    const closers: (() => Promise<void>)[] = []
    let hosts = 0
    /** Returns a new name for each test, because CAs limit and cache by name. */
    const freshHost = () => `h${++hosts}.fleet.example`

    beforeAll(async () => {
      gates = { http: await openGate(), tls: await openGate() }
      ca = await startCa({ httpPort: gates.http.port, tlsPort: gates.tls.port })
    })
    afterEach(async () => {
      gates.http.target = undefined
      gates.tls.target = undefined
      for (const close of closers.splice(0).reverse()) await close()
    })
    afterAll(async () => {
      // `ca` is undefined if it failed to start; that error is the one to report.
      await ca?.close()
      await gates.http.close()
      await gates.tls.close()
    })

    async function fleet() {
      const { client, connect } = await freshContainer()
      const names = async () => {
        const found: string[] = []
        for await (const { name } of client.listBlobsFlat()) found.push(name.replace(/^.*~/, ''))
        return found.filter((name) => name !== 'acme_probe').sort()
      }
      const machine = async (options: Partial<CertManagerOptions> & { http?: boolean } = {}) => {
        const { http = false, ...managerOptions } = options
        const manager = new CertManager({
          cache: await AzureBlobCertCache.connect(connect),
          hostPolicy: (host) => host.endsWith('.fleet.example'),
          acme: {
            termsOfServiceAgreed: true,
            directoryUrl: ca.directoryUrl,
            ca: ca.endpointCertificate,
            email: 'ops@fleet.example',
          },
          ...managerOptions,
        })
        const started = await startMachine(manager, { http })
        closers.push(started.close)
        const events: string[] = []
        manager.on('issued', () => events.push('issued'))
        manager.on('loaded', () => events.push('loaded'))
        manager.on('challengeAnswered', ({ type, from }) => {
          // Pebble, like Let's Encrypt, validates from several places.
          if (events.at(-1) !== `${type} from ${from}`) events.push(`${type} from ${from}`)
        })
        manager.on('issuanceFailed', ({ error }) => events.push(`failed: ${error.message}`))
        return { ...started, events }
      }
      return { names, machine }
    }

    const strict = () => ({ ca: ca.rootCertificate, rejectUnauthorized: true })

    test('the first handshake is answered with a certificate ordered through tls-alpn-01', async () => {
      const { machine, names } = await fleet()
      const host = freshHost()
      const a = await machine()
      gates.tls.target = a.tlsPort
      const first = await handshake(a.tlsPort, host, strict())
      expect(first).toMatchObject({ authorized: true, names: `DNS:${host}`, keyType: 'ec' })
      const second = await handshake(a.tlsPort, host.toUpperCase(), {
        ...strict(),
        checkServerIdentity: () => undefined,
      })
      expect(second.serialNumber).toBe(first.serialNumber)
      expect(a.events).toEqual(['tls-alpn-01 from memory', 'issued'])
      // The challenge answer has been deleted.
      expect(await names()).toEqual(['acme_account+key', host])
    })

    test('http-01 is used once there is an http handler', async () => {
      const { machine, names } = await fleet()
      const host = freshHost()
      const a = await machine({ http: true })
      gates.http.target = a.httpPort
      expect(await handshake(a.tlsPort, host, strict())).toMatchObject({ authorized: true })
      expect(a.events).toEqual(['http-01 from memory', 'issued'])
      expect(await names()).toEqual(['acme_account+key', host])
    })

    test('another machine reads the certificate from the container, and so does a restarted one', async () => {
      const { machine } = await fleet()
      const host = freshHost()
      const a = await machine()
      gates.tls.target = a.tlsPort
      const { serialNumber } = await handshake(a.tlsPort, host, strict())
      gates.tls.target = undefined
      const b = await machine()
      expect(await handshake(b.tlsPort, host, strict())).toMatchObject({ serialNumber, authorized: true })
      expect(b.events).toEqual(['loaded'])
    })

    test('50 concurrent handshakes on a cold machine place one order', async () => {
      const { machine } = await fleet()
      const host = freshHost()
      const a = await machine()
      gates.tls.target = a.tlsPort
      const all = await Promise.all(Array.from({ length: 50 }, () => handshake(a.tlsPort, host, strict())))
      expect(new Set(all.map(({ serialNumber }) => serialNumber)).size).toBe(1)
      expect(a.events).toEqual(['tls-alpn-01 from memory', 'issued'])
    })

    test.each(['http-01', 'tls-alpn-01'] as const)(
      'one machine answers %s for the order of another',
      async (type) => {
        const { machine } = await fleet()
        const host = freshHost()
        const http = type === 'http-01'
        const a = await machine({ http })
        const b = await machine({ http })
        gates.http.target = b.httpPort
        gates.tls.target = b.tlsPort
        expect(await handshake(a.tlsPort, host, strict())).toMatchObject({ authorized: true })
        expect(a.events).toEqual(['issued'])
        expect(b.events).toEqual([`${type} from store`])
      },
    )

    test('a second host is ordered under the account that is in the container', async () => {
      const { machine, names } = await fleet()
      const [one, two] = [freshHost(), freshHost()]
      const a = await machine()
      gates.tls.target = a.tlsPort
      await handshake(a.tlsPort, one, strict())
      const b = await machine()
      gates.tls.target = b.tlsPort
      await handshake(b.tlsPort, two, strict())
      expect(await names()).toEqual(['acme_account+key', one, two])
    })

    test('RSA keys are stored under their own name', async () => {
      const { machine, names } = await fleet()
      const host = freshHost()
      const a = await machine({ keyType: 'rsa-2048' })
      gates.tls.target = a.tlsPort
      expect(await handshake(a.tlsPort, host, strict())).toMatchObject({ authorized: true, keyType: 'rsa' })
      expect(await names()).toEqual(['acme_account+key', `${host}+rsa`])
    })

    test('a certificate is also served over TLS 1.2', async () => {
      const { machine } = await fleet()
      const host = freshHost()
      const a = await machine()
      gates.tls.target = a.tlsPort
      await a.manager.ensure([host])
      expect(await handshake(a.tlsPort, host, { ...strict(), maxVersion: 'TLSv1.2' })).toMatchObject({
        authorized: true,
        protocol: 'TLSv1.2',
      })
    })

    test('every machine replaces a certificate when the CA suggests it', async () => {
      const { machine } = await fleet()
      const host = freshHost()
      const clock = new ShiftingClock()
      const a = await machine({ clock })
      gates.tls.target = a.tlsPort
      const { serialNumber } = await handshake(a.tlsPort, host, strict())
      const b = await machine({ clock })
      await b.manager.getCertificate(host)
      const { cert } = await a.manager.getCertificate(host)
      await ca.suggestRenewal(cert, { start: Date.now() - 2 * 3_600_000, end: Date.now() - 3_600_000 })
      clock.set(7 * 3_600_000)
      const renewed = once(a.manager, 'renewed')
      await handshake(a.tlsPort, host, strict())
      await renewed
      const adopted = once(b.manager, 'adopted')
      await handshake(b.tlsPort, host, strict())
      await adopted
      const served = await Promise.all([a, b].map(({ tlsPort }) => handshake(tlsPort, host, strict())))
      expect(served[0]!.serialNumber).not.toBe(serialNumber)
      expect(served[1]!.serialNumber).toBe(served[0]!.serialNumber)
    })

    test('issues with a profile that the CA offers, and rejects an unknown one', async () => {
      const { machine } = await fleet()
      const host = freshHost()
      const acme = (profile: string) => ({
        termsOfServiceAgreed: true as const,
        directoryUrl: ca.directoryUrl,
        ca: ca.endpointCertificate,
        profile,
      })
      const wrong = await machine({ acme: acme('short-lived') })
      await expect(wrong.manager.getCertificate(host)).rejects.toMatchObject({
        code: 'ERR_ACME_PROFILE',
        message: expect.stringMatching(/Use one of default, shortlived\.$/),
      })
      const right = await machine({ acme: acme('shortlived') })
      gates.tls.target = right.tlsPort
      await right.manager.getCertificate(host)
      expect(await handshake(right.tlsPort, host, strict())).toMatchObject({ authorized: true })
    })

    test('a host that the CA cannot reach is not served, and not tried again at once', async () => {
      const { machine, names } = await fleet()
      const host = freshHost()
      const a = await machine()
      const refused = { code: expect.stringMatching(/HANDSHAKE_FAILURE/) }
      await expect(handshake(a.tlsPort, host)).rejects.toMatchObject(refused)
      expect(a.events).toEqual([expect.stringMatching(/^failed: the CA refused/)])
      await expect(handshake(a.tlsPort, host)).rejects.toMatchObject(refused)
      expect(a.events).toHaveLength(1)
      expect(await names()).toEqual(['acme_account+key', `${host}+failure`])
    })
  })
}
