import { createServer, Agent as HttpAgent } from 'node:http'
import { Agent, type RequestOptions } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { checkAcmeOptions } from '../../../src/acme/options.js'
import { listen } from '../../support/tls.js'
import { FakeCa, request, run } from '../fake-ca.js'

/** The targets of the proxy's CONNECT requests. */
let tunnels: string[]
let proxyPort: number
let ca: FakeCa
let close: () => void

beforeEach(async () => {
  tunnels = []
  ca = await FakeCa.start()
  const sockets = new Set<Socket>()
  const proxy = createServer()
  proxy.on('connection', (socket) => sockets.add(socket))
  proxy.on('connect', ({ url = '' }, client: Socket) => {
    tunnels.push(url)
    const { hostname, port } = new URL(`http://${url}`)
    const upstream = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(client).pipe(upstream)
    })
    for (const socket of [client, upstream]) socket.on('error', () => undefined)
    sockets.add(upstream)
  })
  proxyPort = await listen(proxy)
  close = () => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  }
})
afterEach(() => close())

type Done = (error: Error | null, stream: Duplex) => void

/** Connects through the proxy, as the agent of the npm package https-proxy-agent does. */
class ProxyAgent extends Agent {
  override createConnection(options: RequestOptions, done: Done = () => {}): undefined {
    const { host, port } = options
    const socket = connect(proxyPort, '127.0.0.1', () =>
      socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`),
    )
    socket.on('error', (error) => done(error, socket))
    socket.once('data', () => done(null, connectTls({ ...(options as ConnectionOptions), socket })))
  }
}

describe('acme.agent', () => {
  test('sends every request, trusts acme.ca, and is not destroyed by close()', async () => {
    const agent = new ProxyAgent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    const destroy = vi.spyOn(agent, 'destroy')
    const account = ca.account({ agent })
    expect(await account.issue(request(), run())).toBe(ca.certificate)
    expect(new Set(tunnels)).toEqual(new Set([new URL(ca.origin).host]))
    account.close()
    expect(destroy).not.toHaveBeenCalled()
  })

  test('is not trusted beyond acme.ca', async () => {
    const agent = new ProxyAgent()
    const account = ca.account({ agent, ca: undefined as never })
    await expect(account.issue(request(), run())).rejects.toThrow(/DEPTH_ZERO_SELF_SIGNED_CERT/)
  })

  test.each([{}, null, 'http://proxy.example', new HttpAgent(), () => {}])('rejects %o', (agent) => {
    expect(() => checkAcmeOptions({ termsOfServiceAgreed: true, agent })).toThrow(
      new TypeError('CertManager: acme.agent must be an https.Agent, or an agent for HTTPS through a proxy'),
    )
  })

  test('accepts an https.Agent and one that extends it', () => {
    for (const agent of [new Agent(), new ProxyAgent()])
      expect(checkAcmeOptions({ termsOfServiceAgreed: true, agent })).toMatchObject({ agent })
  })
})

describe('the environment', () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  /** Whether this version of Node has agents with `proxyEnv`. */
  const hasProxyEnv = major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21)
  afterEach(() => vi.unstubAllEnvs())

  const tunnelsWith = async (env: Record<string, string>) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
    expect(await ca.account().issue(request(), run())).toBe(ca.certificate)
    return new Set(tunnels)
  }

  test.each([
    ['NODE_USE_ENV_PROXY', '1'],
    ['NODE_OPTIONS', '--no-warnings --use-env-proxy'],
  ])('with %s=%s selects a proxy, from Node 22.21 and 24.5', async (name, value) => {
    const used = await tunnelsWith({ [name]: value, HTTPS_PROXY: `http://127.0.0.1:${proxyPort}` })
    expect(used).toEqual(new Set(hasProxyEnv ? [new URL(ca.origin).host] : []))
  })

  test('with NO_PROXY for the CA selects none', async () => {
    const env = { NODE_USE_ENV_PROXY: '1', HTTPS_PROXY: `http://127.0.0.1:${proxyPort}` }
    expect(await tunnelsWith({ ...env, NO_PROXY: '127.0.0.1' })).toEqual(new Set())
  })

  test('without NODE_USE_ENV_PROXY selects none', async () => {
    expect(await tunnelsWith({ HTTPS_PROXY: `http://127.0.0.1:${proxyPort}` })).toEqual(new Set())
  })
})
