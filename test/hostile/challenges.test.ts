import { afterEach, expect, test } from 'vitest'
import { challengeRequest, flood, randomName, randomToken, sayHello, sendRequest } from './attacks.js'
import { clientHello } from './client-hello.js'
import { expectFlat, expectOnDuty, expectUnharmed, sevenRounds } from './expectations.js'
import { openTarget, realToken, type Target } from './target.js'

let target: Target
afterEach(() => target.close())

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
  request(`GET http://allowed.example${folder}${realToken}`),
  request(`GET /%2ewell-known/acme-challenge/${realToken}`),
  '\r\n\r\n\0\0\0',
  'GET\r\n\r\n',
  `${clientHello({ name: 'allowed.example' }).toString('latin1')}\r\n\r\n`,
]

test('paths, methods and Host headers that no CA sends reach nothing of the store', async () => {
  target = await openTarget()
  const { httpPort } = target
  const requests = [
    ...oddPaths.map(get),
    ...oddHosts.map((headers) => request(`GET ${folder}${realToken}`, headers)),
    ...methods.map((method) => request(`${method} ${folder}${realToken}`)),
    ...others,
  ].map((text) => Buffer.from(text, 'latin1'))
  const rounds = await sevenRounds(target, () =>
    flood(requests.length * 5, (index) => sendRequest(httpPort, requests[index % requests.length] as Buffer)),
  )
  for (const outcome of rounds.outcomes) expect(outcome).not.toHaveProperty('200')
  await expectUnharmed(target, rounds)
  expect(await sendRequest(httpPort, challengeRequest(realToken, 'allowed.example'))).toBe('200')
})

test('tokens under random Host headers cost no request and no memory', async () => {
  target = await openTarget()
  const rounds = await sevenRounds(target, () =>
    flood(1_000, () => sendRequest(target.httpPort, challengeRequest(realToken, randomName()))),
  )
  for (const outcome of rounds.outcomes) expect(outcome).toEqual({ '404': 1_000 })
  for (const { events } of rounds.reports) expect(events).toEqual({ 'refused policy': 1_000 })
  await expectUnharmed(target, rounds)
})

/** What a client may have read of the store in so many ms: so many at once, then one each so many ms. */
const most = (burst: number, everyMs: number, ms: number) => burst + Math.floor(ms / everyMs) + 1

test('random tokens of one client lead to few reads, and another client gets the answer from the store', async () => {
  target = await openTarget()
  const { httpPort } = target
  const attack = () =>
    flood(500, () => sendRequest(httpPort, challengeRequest(randomToken(), 'allowed.example'), '127.0.0.2'))
  const started = performance.now()
  const rounds = await sevenRounds(target, async () => {
    const validate = () => sendRequest(httpPort, challengeRequest(realToken, 'allowed.example'))
    // No more than a client may have in all rounds.
    const [flooded, validated] = await Promise.all([attack(), flood(5, validate)])
    expect(validated).toEqual({ '200': 5 })
    return flooded
  })
  const reads = rounds.reports.flatMap(({ operations }) => operations)
  const random = reads.filter((operation) => operation !== `get ${realToken}+http-01`)
  expect(random.length).toBeGreaterThanOrEqual(50)
  expect(random.length).toBeLessThanOrEqual(most(50, 100, performance.now() - started))
  for (const { events } of rounds.reports) expect(events['challengeAnswered store']).toBe(5)
  for (const outcome of rounds.outcomes) expect(outcome).not.toHaveProperty('200')
  expectFlat(rounds.reports)
  await expectOnDuty(target)
})

test('random tokens of many clients lead to few reads, too', async () => {
  target = await openTarget()
  const started = performance.now()
  await flood(2_000, (index) => {
    const address = `127.0.1.${1 + (index % 200)}`
    return sendRequest(target.httpPort, challengeRequest(randomToken(), 'allowed.example'), address)
  })
  const { operations } = await target.report()
  expect(operations.length).toBeGreaterThanOrEqual(200)
  expect(operations.length).toBeLessThanOrEqual(most(200, 20, performance.now() - started))
  await expectOnDuty(target)
})

test('handshakes as of a CA that validates lead to few reads, which those at the same time share', async () => {
  target = await openTarget()
  const hello = clientHello({ name: 'allowed.example', protocol: 'acme-tls/1' })
  const started = performance.now()
  const outcome = await flood(1_000, () => sayHello(target.tlsPort, hello))
  const { operations } = await target.report()
  expect(outcome).toEqual({ alert: 1_000 })
  expect(operations.length).toBeLessThanOrEqual(most(50, 100, performance.now() - started))
  expect(new Set(operations)).toEqual(new Set(['get allowed.example+token']))
  await expectOnDuty(target)
})
