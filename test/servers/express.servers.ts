import { createServer as createHttpsServer } from 'node:https'
import express5 from 'express'
import express4 from 'express4'
import { describe, expect, test } from 'vitest'
import { get } from '../support/tls.js'
import { host, useSite } from './site.js'

const site = useSite()

describe.each([
  { name: 'Express 5', express: express5 },
  { name: 'Express 4', express: express4 as unknown as typeof express5 },
])('$name', ({ express }) => {
  /** Returns an application with one page, and with the handler of the manager before it. */
  function createApp(mount: (app: ReturnType<typeof express>) => unknown = () => undefined) {
    const app = express()
    mount(app)
    app.get('/', (_req, res) => void res.send('hello'))
    return app
  }

  test('serves its application after an order by tls-alpn-01', async () => {
    const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), createApp()))
    await site.expectOneOrder(port)
    expect(await site.get(port)).toBe('hello')
  })

  test.each([
    { place: 'at the root', path: '/' },
    { place: 'at the challenge path', path: '/.well-known/acme-challenge' },
    { place: 'at a part of the challenge path', path: '/.well-known' },
  ])(
    'answers http-01 with the handler mounted $place, and serves the application on both ports',
    async ({ path }) => {
      const app = createApp((created) => created.use(path, site.manager.httpHandler()))
      const port80 = await site.serveHttp(app)
      const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), app))
      await site.expectOneOrder(port)
      expect(site.port443.connections).toBe(0)
      expect(await site.get(port)).toBe('hello')
      expect(await get(port80, '/', { host })).toMatchObject({ status: 200, body: 'hello' })
    },
  )

  test('is the fallback of the handler', async () => {
    const port80 = await site.serveHttp(site.manager.httpHandler(createApp()))
    const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), createApp()))
    await site.expectOneOrder(port)
    expect(await get(port80, '/', { host })).toMatchObject({ status: 200, body: 'hello' })
  })
})
