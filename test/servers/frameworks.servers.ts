import 'reflect-metadata'
import { createServer as createHttpsServer } from 'node:https'
import Hapi from '@hapi/hapi'
import { Controller, Get, type INestApplication, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import fastify from 'fastify'
import Koa from 'koa'
import { describe, expect, test } from 'vitest'
import { useSite } from './site.js'

const site = useSite()
const listenOn = { host: '127.0.0.1', port: 0 }

test('Fastify serves HTTP/1.1', async () => {
  const app = fastify({ https: site.manager.tlsOptions() })
  app.get('/', async () => 'hello')
  site.onClose(() => app.close())
  await app.listen({ ...listenOn })
  const port = site.lead(app.server)
  await site.expectOneOrder(port)
  expect(await site.get(port)).toBe('hello')
})

test('Fastify serves HTTP/2 and HTTP/1.1', async () => {
  const app = fastify({ http2: true, https: { allowHTTP1: true, ...site.manager.tlsOptions() } })
  app.get('/', async ({ raw }) => `hello over ${raw.httpVersion}`)
  site.onClose(() => app.close())
  await app.listen({ ...listenOn })
  const port = site.lead(app.server)
  await site.expectOneOrder(port)
  expect(await site.getHttp2(port)).toBe('hello over 2.0')
  expect(await site.get(port)).toBe('hello over 1.1')
})

test('Fastify serves only HTTP/2', async () => {
  const app = fastify({ http2: true, https: site.manager.tlsOptions({ ALPNProtocols: ['h2'] }) })
  app.get('/', async () => 'hello')
  site.onClose(() => app.close())
  await app.listen({ ...listenOn })
  const port = site.lead(app.server)
  await site.expectOneOrder(port)
  expect(await site.getHttp2(port)).toBe('hello')
})

test('Koa serves its application', async () => {
  const app = new Koa()
  app.use((context) => {
    context.body = 'hello'
  })
  const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), app.callback()))
  await site.expectOneOrder(port)
  expect(await site.get(port)).toBe('hello')
})

test('Koa is the fallback of the handler on port 80', async () => {
  const app = new Koa()
  app.use((context) => {
    context.body = 'hello'
  })
  await site.serveHttp(site.manager.httpHandler(app.callback()))
  const port = await site.serve(createHttpsServer(site.manager.tlsOptions(), app.callback()))
  await site.expectOneOrder(port)
  expect(site.port443.connections).toBe(0)
})

test('Hapi serves its application', async () => {
  const server = Hapi.server({ ...listenOn, tls: site.manager.tlsOptions() })
  server.route({ method: 'GET', path: '/', handler: () => 'hello' })
  site.onClose(() => server.stop())
  await server.start()
  const port = site.lead(server.listener)
  await site.expectOneOrder(port)
  expect(await site.get(port)).toBe('hello')
})

describe('NestJS', () => {
  class Hello {
    hello() {
      return 'hello'
    }
  }
  class AppModule {}
  // As the decorators do, which this project's TypeScript options exclude.
  const method = Object.getOwnPropertyDescriptor(Hello.prototype, 'hello')
  Get()(Hello.prototype, 'hello', method as PropertyDescriptor)
  Controller()(Hello)
  Module({ controllers: [Hello] })(AppModule)

  test.each([
    {
      adapter: 'Express',
      create: () =>
        NestFactory.create(AppModule, { httpsOptions: site.manager.tlsOptions() as object, logger: false }),
    },
    {
      adapter: 'Fastify',
      create: () => {
        const adapter = new FastifyAdapter({ https: site.manager.tlsOptions() })
        return NestFactory.create(AppModule, adapter, { logger: false })
      },
    },
  ])('serves its application on $adapter', async ({ create }) => {
    const app: INestApplication = await create()
    site.onClose(() => app.close())
    await app.listen(0, '127.0.0.1')
    const port = site.lead(app.getHttpServer())
    await site.expectOneOrder(port)
    expect(await site.get(port)).toBe('hello')
  })
})
