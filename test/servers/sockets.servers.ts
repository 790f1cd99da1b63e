import { once } from 'node:events'
import { Agent, createServer as createHttpsServer } from 'node:https'
import { Server } from 'socket.io'
import { io } from 'socket.io-client'
import { expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { useSite } from './site.js'

const site = useSite()

test('ws shares the server of https', async () => {
  const server = createHttpsServer(site.manager.tlsOptions(), (_req, res) => res.end('hello'))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (message) => socket.send(`hello ${message}`)))
  const port = await site.serve(server)
  await site.expectOneOrder(port)

  const client = new WebSocket(`wss://127.0.0.1:${port}`, site.client)
  await once(client, 'open')
  client.send('client')
  const [message] = await once(client, 'message')
  expect(String(message)).toBe('hello client')
  client.close()
  await once(client, 'close')
  expect(await site.get(port)).toBe('hello')
})

test.each(['polling', 'websocket'])('socket.io shares the server of https, over %s', async (transport) => {
  const server = createHttpsServer(site.manager.tlsOptions(), (_req, res) => res.end('hello'))
  const sockets = new Server(server)
  sockets.on('connection', (socket) => socket.on('greet', (name, reply) => reply(`hello ${name}`)))
  const port = await site.serve(server)
  await site.expectOneOrder(port)

  const agent = new Agent(site.client)
  const client = io(`https://127.0.0.1:${port}`, { transports: [transport], agent: agent as never })
  expect(await client.emitWithAck('greet', 'client')).toBe('hello client')
  client.close()
  agent.destroy()
  expect(await site.get(port)).toBe('hello')
})
