import { createServer, type IncomingHttpHeaders, type RequestListener, request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import type { Clock, HttpHandlerOptions } from '../../src/index.js'
import { useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { get, listen } from '../support/tls.js'

const t = useManagers()
const folder = '/.well-known/acme-challenge/'

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return listen(server)
}

/** The headers that nginx sends: by default, and with the two lines of docs/deployment.md. */
const byDefault = (_: IncomingHttpHeaders, port: number) => ({ host: `127.0.0.1:${port}` })
const asDocumented = ({ host = '', 'x-forwarded-for': forwarded }: IncomingHttpHeaders) => ({
  host: host.replace(/:\d+$/, ''), // $host has no port
  'x-forwarded-for': [forwarded, '127.0.0.1'].flat().filter(Boolean).join(', '), // $proxy_add_x_forwarded_for
})

/** Starts a reverse proxy in front of `port`, and returns its port. */
const startProxy = (port: number, headersFor: typeof byDefault) =>
  serve((req, res) => {
    const { url: path, method } = req
    const upstream = request({
      host: '127.0.0.1',
      port,
      path,
      method,
      headers: headersFor(req.headers, port),
      agent: false,
    })
    upstream.on('response', (response) => {
      res.writeHead(response.statusCode ?? 500, response.headers)
      response.pipe(res)
    })
    upstream.on('error', () => res.destroy())
    upstream.end()
  })

/** Starts a machine with port 80 behind a proxy. */
async function behindProxy(
  headersFor: typeof byDefault,
  options?: HttpHandlerOptions,
  clock: Clock = t.clock,
) {
  const started = await t.machine({ clock })
  const httpPort = await serve(started.manager.httpHandler(undefined, options))
  return { ...started, httpPort, proxyPort: await startProxy(httpPort, headersFor) }
}

test('behind a proxy that replaces Host, the process that placed the order answers the challenge', async () => {
  const { manager, proxyPort } = await behindProxy(byDefault)
  const answered: object[] = []
  manager.on('challengeAnswered', (challenge) => answered.push(challenge))
  t.gate.target = proxyPort
  await manager.ensure(['a.example'])
  expect(answered).toEqual([{ type: 'http-01', host: 'a.example', from: 'memory' }])
})

test('behind a proxy that replaces Host, the answer of another machine is refused, and an event says so', async () => {
  const { proxyPort, httpPort, events } = await behindProxy(byDefault)
  t.store.values.set('token+http-01', Buffer.from('token.thumbprint'))
  expect(await get(proxyPort, `${folder}token`, { host: 'a.example' })).toMatchObject({ status: 404 })
  expect(events.refused).toEqual([{ servername: '127.0.0.1', reason: 'name' }])
  expect(t.store.take()).toEqual([])
  const fixed = await startProxy(httpPort, asDocumented)
  expect(await get(fixed, `${folder}token`, { host: 'a.example' })).toMatchObject({
    body: 'token.thumbprint',
  })
})

test('a proxy that is trusted gives each of its clients a rate of their own', async () => {
  const { httpPort, events } = await behindProxy(
    asDocumented,
    { trustedProxies: ['127.0.0.0/8'] },
    new StillClock(),
  )
  const send = (token: string, forwarded: string) =>
    get(httpPort, folder + token, { host: 'a.example', headers: { 'x-forwarded-for': forwarded } })
  const statuses = async (forwarded: (index: number) => string) =>
    (await Promise.all(Array.from({ length: 60 }, (_, index) => send(`t${index}`, forwarded(index))))).filter(
      ({ status }) => status === 503,
    ).length
  // Each address that the client claims is different, but the proxy has appended the real one.
  expect(await statuses((index) => `198.51.100.${index}, 203.0.113.7`)).toBe(10)
  expect(events.refused).toHaveLength(10)
  expect(await send('token', '203.0.113.8')).toMatchObject({ status: 404 })
  expect(await send('token', '203.0.113.7')).toMatchObject({ status: 503 })
})

test.each([
  ['without a list', undefined],
  ['from a peer that is not in the list', { trustedProxies: ['192.0.2.0/24', '::1'] }],
])('X-Forwarded-For is ignored %s', async (_, options) => {
  const { httpPort, events } = await behindProxy(asDocumented, options, new StillClock())
  const requests = Array.from({ length: 60 }, (_, index) =>
    get(httpPort, `${folder}t${index}`, {
      host: 'a.example',
      headers: { 'x-forwarded-for': `198.51.100.${index}` },
    }),
  )
  const limited = (await Promise.all(requests)).filter(({ status }) => status === 503)
  expect(limited).toHaveLength(10)
  expect(events.refused).toContainEqual({ servername: 'a.example', reason: 'rate' })
})
