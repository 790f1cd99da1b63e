import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { text } from 'node:stream/consumers'
import type { ConnectionOptions } from 'node:tls'
import { afterEach, beforeEach, expect } from 'vitest'
import { CertManager } from '../../src/index.js'
import { MemoryCertCache, TestCa } from '../../src/testing/index.js'
import { type Gate, openGate } from '../support/gate.js'
import { handshake } from '../support/tls.js'

export const host = 'shop.example'

/** The resources that keep the process running, other than timers. */
const openResources = () => process.getActiveResourcesInfo().filter((type) => type !== 'Timeout')

/** A host with its CA and its manager. The CA connects to port 80 and port 443, which lead to the server under test. */
export class Site {
  ca!: TestCa
  manager!: CertManager
  port80!: Gate
  port443!: Gate
  #closers: (() => unknown)[] = []
  #resources: string[] = []

  async open(): Promise<void> {
    this.#resources = openResources()
    this.port80 = await openGate()
    this.port443 = await openGate()
    this.ca = await TestCa.start({ httpPort: this.port80.port, tlsPort: this.port443.port })
    this.manager = new CertManager({ cache: new MemoryCertCache(), hostPolicy: [host], acme: this.acme })
  }

  /** The options with which a manager uses the CA. */
  get acme() {
    const { directoryUrl, endpointCertificate: ca } = this.ca
    return { termsOfServiceAgreed: true as const, directoryUrl, ca, keyPrefix: '' }
  }

  /** The options with which a client connects to the host. */
  get client() {
    return { servername: host, ca: this.ca.rootCertificate, rejectUnauthorized: true }
  }

  /** Registers what closes a server. It runs at the end of the test, the last one first. */
  onClose(close: () => unknown): void {
    this.#closers.push(close)
  }

  /** Closes everything, and expects that nothing stays open. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close()
    await this.manager.close()
    await this.ca.close()
    for (const gate of [this.port80, this.port443]) await gate.close()
    await expect.poll(() => added(this.#resources, openResources())).toEqual([])
  }

  /** Lets a server of Node's listen until the end of the test. Returns its port. */
  async listen(server: Server): Promise<number> {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.onClose(() => new Promise((resolve) => server.close(resolve)))
    return portOf(server)
  }

  /** Starts a server of Node's, to which port 443 of the host leads. Returns its port. */
  async serve(server: Server): Promise<number> {
    return this.lead(await this.listen(server))
  }

  /** Starts an HTTP server, to which port 80 of the host leads. Returns its port. */
  async serveHttp(listener: RequestListener): Promise<number> {
    this.port80.target = await this.listen(createHttpServer(listener))
    return this.port80.target
  }

  /** Lets port 443 of the host lead to a port, or to a server that listens. Returns the port. */
  lead(target: number | Pick<Server, 'address'>): number {
    this.port443.target = typeof target === 'number' ? target : portOf(target)
    return this.port443.target
  }

  /**
   * Makes two handshakes. Expects that the first one places an order, that the second one is served from memory, and
   * that the client trusts both.
   */
  async expectOneOrder(
    port: number,
    connect: () => Promise<ConnectionOptions> = async () => ({}),
  ): Promise<void> {
    const sources: string[] = []
    this.manager.on('served', ({ source }) => void sources.push(source))
    expect(this.ca.ordersFor(host)).toBe(0)
    const shown = []
    for (let count = 0; count < 2; count++)
      shown.push(await handshake(port, host, { ...this.client, ...(await connect()) }))
    const serialNumber = this.ca.issued[0]?.serialNumber
    const expected = { authorized: true, names: `DNS:${host}`, serialNumber }
    expect(shown).toEqual([expect.objectContaining(expected), expect.objectContaining(expected)])
    expect(sources).toEqual(['acme', 'memory'])
    expect(this.ca.ordersFor(host)).toBe(1)
  }

  /** Requests a path over HTTPS and returns the body. */
  async get(port: number, path = '/'): Promise<string> {
    const headers = { host }
    const request = httpsRequest({ ...this.client, host: '127.0.0.1', port, path, headers, agent: false })
    const [response] = await once(request.end(), 'response')
    expect(response.statusCode).toBe(200)
    return text(response)
  }

  /** Requests a path over HTTP/2 and returns the body. */
  async getHttp2(port: number, path = '/'): Promise<string> {
    const session = connectHttp2(`https://127.0.0.1:${port}`, this.client)
    try {
      return await text(session.request({ ':path': path, ':authority': host }))
    } finally {
      await new Promise<void>((resolve) => session.close(resolve))
    }
  }
}

/** Opens a {@link Site} for each test. Call it once, at the top level of a test file. */
export function useSite(): Site {
  const site = new Site()
  beforeEach(() => site.open())
  afterEach(() => site.close())
  return site
}

const portOf = (server: Pick<Server, 'address'>) => (server.address() as AddressInfo).port

/** Returns what `after` has more than `before`. */
function added(before: readonly string[], after: readonly string[]): string[] {
  const rest = [...after]
  for (const type of before) {
    const index = rest.indexOf(type)
    if (index >= 0) rest.splice(index, 1)
  }
  return rest
}
