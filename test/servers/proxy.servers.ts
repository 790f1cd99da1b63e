import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer, type Server } from 'node:https'
import httpProxy from 'http-proxy'
import { expect, test } from 'vitest'
import { host, useSite } from './site.js'

const site = useSite()

/** Starts an application without TLS, and returns its address. */
async function startApplication() {
  const server = createHttpServer((req, res) => {
    res.end(`${req.headers['x-forwarded-proto']} ${req.headers['x-forwarded-host']}${req.url}`)
  })
  return { host: '127.0.0.1', port: await site.listen(server) }
}

test('http-proxy ends TLS in front of an application', async () => {
  const proxy = httpProxy.createProxyServer({ target: await startApplication(), xfwd: true })
  site.onClose(() => proxy.close())
  const server = createHttpsServer(site.manager.tlsOptions(), (req, res) => proxy.web(req, res))
  const port = await site.serve(server)
  await site.expectOneOrder(port)
  expect(await site.get(port, '/page')).toBe(`https ${host}/page`)
})

test('http-proxy listens with the option ssl', async () => {
  const target = await startApplication()
  const proxy = httpProxy.createProxyServer({ target, xfwd: true, ssl: site.manager.tlsOptions() })
  proxy.listen(0, '127.0.0.1')
  const { _server: server } = proxy as unknown as { _server: Server }
  await once(server, 'listening')
  site.onClose(() => new Promise<void>((resolve) => proxy.close(resolve)))
  const port = site.lead(server)
  await site.expectOneOrder(port)
  expect(await site.get(port, '/page')).toBe(`https ${host}/page`)
})
