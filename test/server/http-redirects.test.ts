import { createServer } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import type { HttpHandlerOptions } from '../../src/index.js'
import { createHttpHandler } from '../../src/server/http-handler.js'
import { HttpAnswers } from '../support/http-answers.js'
import { get, listen } from '../support/tls.js'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function open(options?: HttpHandlerOptions) {
  const server = createServer(createHttpHandler(new HttpAnswers(), undefined, options))
  closers.push(() => server.close())
  const port = await listen(server)
  return (method: string, host = 'a.example') => get(port, '/p?q', { host, method })
}

test.each([
  { redirectStatus: undefined, read: 302, other: 308 },
  { redirectStatus: 301, read: 301, other: 308 },
  { redirectStatus: 302, read: 302, other: 308 },
  { redirectStatus: 303, read: 303, other: 308 },
  { redirectStatus: 307, read: 307, other: 307 },
  { redirectStatus: 308, read: 308, other: 308 },
] as const)(
  'with redirectStatus $redirectStatus, GET is redirected with $read and POST with $other',
  async (row) => {
    const { redirectStatus, read, other } = row
    const send = await open(redirectStatus && { redirectStatus })
    const location = 'https://a.example/p?q'
    for (const method of ['GET', 'HEAD']) expect(await send(method)).toMatchObject({ status: read, location })
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND'])
      expect(await send(method)).toMatchObject({ status: other, location })
  },
)

test.each([
  [8443, 'https://a.example:8443/p?q'],
  [80, 'https://a.example:80/p?q'],
  [443, 'https://a.example/p?q'],
])('httpsPort %i redirects to %s', async (httpsPort, location) => {
  const send = await open({ httpsPort })
  expect(await send('GET', 'A.example:8080')).toMatchObject({ status: 302, location })
})

test.each(['10.0.0.4', '10.0.0.4:80', '[fd00::4]:80', 'localhost', 'localhost:8080', 'web_1'])(
  'a health check with the Host "%s" is answered with 200',
  async (host) => {
    const send = await open()
    expect(await send('GET', host)).toMatchObject({
      status: 200,
      body: expect.stringMatching(/^.{10,80}\n$/),
    })
    expect(await send('HEAD', host)).toMatchObject({ status: 200, body: '' })
    expect(await send('POST', host)).toMatchObject({ status: 400 })
  },
)

test.each([
  '*',
  'a..example',
  'a.example:80:80',
  'user@a.example',
  'a_b.example',
  'a.example/..',
  '[::1',
  '::1',
  '0x7f.1',
])('the invalid Host "%s" is answered with 400', async (host) => {
  const send = await open()
  for (const method of ['GET', 'HEAD', 'POST'])
    expect(await send(method, host)).toMatchObject({ status: 400 })
})

test.each([
  [
    [5],
    /^httpHandler: fallback must be a function of the request and the response. Options are the second argument/,
  ],
  [[{ httpsPort: 8443 }], /Options are the second argument/],
  [[null], /^httpHandler: fallback/],
  [[undefined, null], /^httpHandler: options must be an object, not null/],
  [[undefined, 308], /^httpHandler: options must be an object/],
  [
    [undefined, { redirectstatus: 301 }],
    /^httpHandler: unknown option "redirectstatus". Did you mean "redirectStatus"\?/,
  ],
  [
    [undefined, { redirectStatus: 304 }],
    /^httpHandler: redirectStatus must be one of 301, 302, 303, 307, 308, not 304/,
  ],
  [[undefined, { redirectStatus: '301' }], /^httpHandler: redirectStatus must be one of/],
  [[undefined, { redirectStatus: null }], /^httpHandler: redirectStatus must be one of .* not null/],
  [[undefined, { httpsPort: 0 }], /^httpHandler: httpsPort must be a whole number from 1 to 65535, not 0/],
  [[undefined, { httpsPort: 65_536 }], /^httpHandler: httpsPort/],
  [[undefined, { httpsPort: '443' }], /^httpHandler: httpsPort/],
  [[undefined, { trustedProxies: '10.0.0.1' }], /^httpHandler: trustedProxies must be a non-empty array/],
  [[undefined, { trustedProxies: [] }], /^httpHandler: trustedProxies must be a non-empty array/],
  [[undefined, { trustedProxies: [1] }], /^httpHandler: trustedProxies/],
  [
    [undefined, { trustedProxies: ['10.0.0.0/33'] }],
    /^httpHandler: trustedProxies contains "10\.0\.0\.0\/33"\. Use IP addr/,
  ],
] as const)('the arguments %j throw a TypeError that names the mistake', (args, message) => {
  const create = () => createHttpHandler(new HttpAnswers(), ...args)
  expect(create).toThrow(TypeError)
  expect(create).toThrow(message)
})

test('an option that is undefined has its default', async () => {
  const send = await open({
    redirectStatus: undefined,
    httpsPort: undefined,
    trustedProxies: undefined,
  } as never)
  expect(await send('GET')).toMatchObject({ status: 302, location: 'https://a.example/p?q' })
})
