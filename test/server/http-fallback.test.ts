import { createServer, type ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHttpHandler } from '../../src/server/http-handler.js'
import { HttpAnswers } from '../support/http-answers.js'
import { get, listen } from '../support/tls.js'

const folder = '/.well-known/acme-challenge/'
let answers: HttpAnswers
const warnings: string[] = []
const onWarning = ({ message }: Error) => void warnings.push(message)
const closers: (() => void)[] = []
beforeEach(() => {
  answers = new HttpAnswers()
  warnings.length = 0
  process.on('warning', onWarning)
})
afterEach(() => {
  process.off('warning', onWarning)
  for (const close of closers.splice(0)) close()
})

type Role = 'fallback' | 'next middleware'
const roles: readonly Role[] = ['fallback', 'next middleware']

/** Serves the handler in front of `answer`, as its fallback or as the next middleware. */
async function open(role: Role, answer = (res: ServerResponse) => void res.end('from the application')) {
  const fallback = (_: unknown, res: ServerResponse) => answer(res)
  const handle = createHttpHandler(answers, role === 'fallback' ? fallback : undefined)
  const server = createServer((req, res) =>
    handle(req, res, role === 'fallback' ? undefined : () => answer(res)),
  )
  closers.push(() => server.close())
  const port = await listen(server)
  return (path: string, options: { host?: string; method?: string } = {}) =>
    get(port, path, { host: 'a.example', ...options })
}
const fromApplication = { status: 200, body: 'from the application' }

describe.each(roles)('a %s', (role) => {
  test('answers every request outside the challenge path', async () => {
    const send = await open(role)
    for (const method of ['GET', 'POST', 'DELETE'])
      for (const host of ['a.example', '10.0.0.4', '*'])
        expect(await send('/x', { method, host })).toMatchObject(fromApplication)
    expect(answers.invalidNames).toEqual([])
  })

  test('answers a challenge whose token is unknown, such as one of certbot', async () => {
    answers.stored.set('mine a.example', 'mine.thumbprint')
    const send = await open(role)
    expect(await send(`${folder}certbots-token`)).toMatchObject(fromApplication)
    expect(await send(`${folder}mine`)).toMatchObject({ body: 'mine.thumbprint' })
    expect(await send(`${folder}mine`, { host: 'b.example' })).toMatchObject(fromApplication)
    expect(answers.reads.map(([token]) => token)).toEqual(['certbots-token', 'mine', 'mine'])
  })

  test.each(['', 'a.b', '../x', 'x'.repeat(129)])(
    'answers the path %j, which no token has',
    async (token) => {
      const send = await open(role)
      expect(await send(folder + token)).toMatchObject(fromApplication)
      expect(answers.reads).toEqual([])
    },
  )

  test('answers a challenge for a host that is not a DNS name, which is reported', async () => {
    const send = await open(role)
    for (const host of ['10.0.0.4:80', 'localhost'])
      expect(await send(`${folder}token`, { host })).toMatchObject(fromApplication)
    expect(answers.invalidNames).toEqual(['10.0.0.4', 'localhost'])
    expect(answers.reads).toEqual([])
  })

  test('does not get a request whose answer cannot be read', async () => {
    answers.before = () => Promise.reject(new Error('down'))
    const send = await open(role, () => expect.unreachable())
    expect(await send(`${folder}token`)).toMatchObject({ status: 503 })
    expect(warnings).toEqual([])
  })

  test('does not get a challenge request with a method other than GET and HEAD', async () => {
    const send = await open(role, () => expect.unreachable())
    expect(await send(`${folder}token`, { method: 'POST' })).toMatchObject({ status: 405 })
  })

  test('that throws for a challenge request causes status 500 and a warning', async () => {
    const send = await open(role, () => {
      throw new Error('broken application')
    })
    expect(await send(`${folder}token`)).toMatchObject({ status: 500 })
    await expect.poll(() => warnings.join()).toContain('broken application')
  })

  test('does not get a request that was answered while the store was read', async () => {
    let calls = 0
    const handle = createHttpHandler(answers, role === 'fallback' ? () => (calls += 1) : undefined)
    let release = () => {}
    answers.before = () =>
      new Promise<void>((resolve) => {
        release = resolve
      })
    const server = createServer((req, res) => {
      handle(req, res, role === 'fallback' ? undefined : () => (calls += 1))
      res.writeHead(504).end()
    })
    closers.push(() => server.close())
    expect(await get(await listen(server), `${folder}token`, { host: 'a.example' })).toMatchObject({
      status: 504,
    })
    release()
    for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
    expect(calls).toBe(0)
    expect(warnings).toEqual([])
  })
})

test('without fallback and next middleware, an unknown token is answered with 404', async () => {
  const server = createServer(createHttpHandler(answers))
  closers.push(() => server.close())
  const port = await listen(server)
  for (const host of ['a.example', '10.0.0.4'])
    expect(await get(port, `${folder}token`, { host })).toMatchObject({
      status: 404,
      body: 'no such challenge\n',
    })
})

test('a token of this process is answered whatever the host', async () => {
  answers.pending.set('mine', 'mine.thumbprint')
  const send = await open('fallback', () => expect.unreachable())
  for (const host of ['a.example', '127.0.0.1:8080', 'upstream', '*'])
    expect(await send(`${folder}mine`, { host })).toMatchObject({ status: 200, body: 'mine.thumbprint' })
  expect(answers.reads).toEqual([])
  expect(answers.invalidNames).toEqual([])
})

test('the name in a report has at most 253 characters', async () => {
  const send = await open('fallback')
  await send(`${folder}token`, { host: `${'x'.repeat(8_000)}.example` })
  expect(answers.invalidNames).toEqual(['x'.repeat(253)])
})
