import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { challengeRequest, flood, randomName, randomToken, sayHello, sendRequest } from './attacks.js'
import { clientHello } from './client-hello.js'
import { attackInRounds, expectOnDuty, expectUnharmed } from './expectations.js'
import { openTarget, realToken, type Target } from './target.js'

let target: Target
beforeAll(async () => {
  target = await openTarget()
})
// The server's clock stands still, so only this restores the reads that clients are allowed.
beforeEach(() => target.jump(60_000))
afterAll(() => target.close())

const folder = '/.well-known/acme-challenge/'
const request = (line: string, headers = 'Host: allowed.example\r\n') =>
  `${line} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`
const get = (path: string) => request(`GET ${folder}${path}`)

const oddPaths: readonly string[] = [
  ...['', '.', '..', '../', '../acme_account+key', '../../allowed.example', `../acme-challenge/${realToken}`],
  ...['%2e%2e', '%2e%2e%2fallowed.example', `%2e/${realToken}`, `./${realToken}`, `/${realToken}`],
  ...[`${realToken}/`, `${realToken}/..`, `${realToken}%00`, `${realToken}+http-01`, 'allowed.example+token'],
  ...['acme_account+key', 'acme_account%2Bkey', 'allowed.example', '*', 'a:b', 'a|b', 'a"b', 'a<b>', 'a\\b'],
  ...[
    '..\\..\\allowed.example',
    'a b',
    'a\tb',
    '\0',
    `${realToken}\0`,
    '\u00e9',
    '%c0%ae%c0%ae',
    ';a',
    'a;b',
  ],
  ...['a'.repeat(257), 'a'.repeat(8_192), '../'.repeat(2_730), '%2e'.repeat(2_730), 'a'.repeat(100_000)],
]

const oddHosts: readonly string[] = [
  ...['', 'Host: \r\n', 'Host: refused.example\r\nHost: allowed.example\r\n', 'Host: refused.example\r\n'],
  ...[
    'Host: 127.0.0.1\r\n',
    'Host: [::1]:80\r\n',
    'Host: localhost\r\n',
    'Host: *.example\r\n',
    'Host: ..\r\n',
  ],
  ...['Host: allowed.example:80:80\r\n', 'Host: user@allowed.example\r\n', 'Host: allowed.example/..\r\n'],
  ...['Host: allowed.example\0\r\n', 'Host: allowed%2eexample\r\n', `Host: ${'a.'.repeat(4_000)}example\r\n`],
  ...[
    'X-Forwarded-Host: allowed.example\r\nHost: refused.example\r\n',
    `Host: ${'a'.repeat(64)}.example\r\n`,
  ],
]

const methods = [
  'POST',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'PROPFIND',
  'CONNECT',
  'get',
  'BREW',
  '',
]

const others: readonly string[] = [
  request(`GET /.well-known/acme-challenge?${realToken}`),
  request(`GET /.WELL-KNOWN/acme-challenge/${realToken}`),
  request(`GET //.well-known/acme-challenge/${realToken}`),
  request(`GET /a/..${folder}${realToken}`),
  request(`GET http://refused.example${folder}${realToken}`),
  request(`GET /%2ewell-known/acme-challenge/${realToken}`),
  '\r\n\r\n\0\0\0',
  'GET\r\n\r\n',
  `${clientHello({ name: 'allowed.example' }).toString('latin1')}\r\n\r\n`,
]

test('paths, methods and Host headers that no CA sends do not reach the store', async () => {
  const { httpPort } = target
  const requests = [
    ...oddPaths.map(get),
    ...oddHosts.map((headers) => request(`GET ${folder}${realToken}`, headers)),
    ...methods.map((method) => request(`${method} ${folder}${realToken}`)),
    ...others,
  ].map((text) => Buffer.from(text, 'latin1'))
  const rounds = await attackInRounds(target, 1, () =>
    flood(requests.length, (index) => sendRequest(httpPort, requests[index] as Buffer)),
  )
  for (const outcome of rounds.outcomes) expect(outcome).not.toHaveProperty('200')
  await expectUnharmed(target, rounds)
  expect(await sendRequest(httpPort, challengeRequest(realToken, 'allowed.example'))).toBe('200')
})

test('tokens under random Host headers cause no store request, and the policy is asked within the rate', async () => {
  const rounds = await attackInRounds(target, 1, () =>
    flood(100, () => sendRequest(target.httpPort, challengeRequest(realToken, randomName()))),
  )
  // 50 at once, then one every 100 ms: how many that are depends on the machine.
  for (const [index, { events }] of rounds.reports.entries()) {
    const { 'refused policy': asked = 0, 'refused rate': limited = 0 } = events
    expect(asked).toBeGreaterThanOrEqual(50)
    expect(asked + limited).toBe(100)
    expect(rounds.outcomes[index]).toEqual({ '404': asked, ...(limited > 0 && { '503': limited }) })
  }
  await expectUnharmed(target, rounds)
})

test('random tokens from one client cause 50 reads, and another client still gets its answer from the store', async () => {
  const { httpPort } = target
  const attack = flood(500, () =>
    sendRequest(httpPort, challengeRequest(randomToken(), 'allowed.example'), '127.0.0.2'),
  )
  const validate = () => sendRequest(httpPort, challengeRequest(realToken, 'allowed.example'))
  const [flooded, validated] = await Promise.all([attack, flood(5, validate)])
  expect(validated).toEqual({ '200': 5 })
  expect(flooded).not.toHaveProperty('200')
  const { operations, events } = await target.report()
  const random = operations.filter((operation) => operation !== `get ${realToken}+http-01`)
  expect(random).toHaveLength(50)
  expect(events['challengeAnswered store']).toBe(5)
  await target.jump(1_000)
  await flood(50, () =>
    sendRequest(httpPort, challengeRequest(randomToken(), 'allowed.example'), '127.0.0.2'),
  )
  expect((await target.report()).operations).toHaveLength(10)
  await expectOnDuty(target)
})

test('random tokens from many clients cause 200 reads', async () => {
  await flood(500, (index) => {
    const address = `127.0.1.${1 + (index % 200)}`
    return sendRequest(target.httpPort, challengeRequest(randomToken(), 'allowed.example'), address)
  })
  expect((await target.report()).operations).toHaveLength(200)
  await expectOnDuty(target)
})

test('200 tls-alpn-01 handshakes cause at most 50 reads, which concurrent handshakes share', async () => {
  const hello = clientHello({ name: 'allowed.example', protocol: 'acme-tls/1' })
  const outcome = await flood(200, () => sayHello(target.tlsPort, hello))
  const { operations } = await target.report()
  expect(outcome).toEqual({ alert: 200 })
  expect(operations.length).toBeLessThanOrEqual(50)
  expect(new Set(operations)).toEqual(new Set(['get allowed.example+token']))
  await expectOnDuty(target)
})
