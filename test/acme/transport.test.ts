import { getEventListeners } from 'node:events'
import { Agent, createServer } from 'node:https'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { send } from '../../src/acme/transport.js'
import { selfSignedCertificate } from '../../src/testing/index.js'
import { listen } from '../support/tls.js'
import { VirtualClock } from '../support/virtual-clock.js'

/** The server's behaviour for the first request on a connection. */
let onFirst: 'answer' | 'reset'
let requests: ('first' | 'later')[]
let close: () => void
let request: () => ReturnType<typeof send>
let clock: VirtualClock
let signal: AbortSignal

beforeEach(async () => {
  onFirst = 'answer'
  requests = []
  const { certificate, privateKey } = await selfSignedCertificate()
  const used = new WeakSet<Socket>()
  const server = createServer({ cert: certificate, key: privateKey }, (req, res) => {
    const kind = used.has(req.socket) ? 'later' : 'first'
    used.add(req.socket)
    requests.push(kind)
    if (kind === 'later' || onFirst === 'reset') req.socket.destroy()
    else res.end('answer')
  })
  const url = `https://127.0.0.1:${await listen(server)}/`
  const agent = new Agent({ keepAlive: true, ca: certificate })
  clock = new VirtualClock()
  signal = new AbortController().signal
  request = () => send(url, 'post', { body: '{}', agent, signal, clock })
  close = () => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  }
})
afterEach(() => close())

test('a request that fails on a reused connection is retried on a new one', async () => {
  expect(await request()).toMatchObject({ status: 200, data: 'answer' })
  expect(await request()).toMatchObject({ status: 200, data: 'answer' })
  expect(requests).toEqual(['first', 'later', 'first'])
})

test('a request that fails on a new connection is not retried', async () => {
  onFirst = 'reset'
  await expect(request()).rejects.toMatchObject({
    code: 'ERR_ISSUANCE_FAILED',
    message: expect.stringMatching(/did not answer at .*: ECONNRESET/),
  })
  expect(requests).toEqual(['first'])
})

test('a request is retried only once', async () => {
  await request()
  onFirst = 'reset'
  await expect(request()).rejects.toThrow(/ECONNRESET/)
  expect(requests).toEqual(['first', 'later', 'first'])
})

test('a request leaves neither a timer nor a listener behind', async () => {
  await request()
  onFirst = 'reset'
  await expect(request()).rejects.toThrow()
  expect(clock.pending).toBe(0)
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
