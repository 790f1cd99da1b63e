import { describe, expect, test } from 'vitest'
import {
  allEndpoints,
  concernsHost,
  endpoints,
  fewProblemTypes,
  foreignChains,
  html,
  ignoredAnswers,
  namedResources,
  pem,
  problemTypes,
  retryAfters,
  unusableAnswers,
  useSharedCa,
} from './ca-cases.js'

const { fault, fails, survives, explains, endsAfter5Minutes } = useSharedCa()

const accountProblems = [
  'accountDoesNotExist',
  'externalAccountRequired',
  'invalidContact',
  'unauthorized',
  'unsupportedContact',
  'userActionRequired',
]

describe.each(endpoints)('%s', (on) => {
  test.each(on === 'newOrder' ? problemTypes : fewProblemTypes)('fails on a response of %s', async (type) => {
    // A refused account says nothing about the host, and is not recorded for the fleet.
    const isAnswered = concernsHost(on) && (on !== 'newOrder' || !accountProblems.includes(type))
    const { problem } = await fails([{ on, type }], { isAnswered })
    expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
  })

  test.each(unusableAnswers(on))('fails on a response of %s', async (_, answer) => {
    await fails([{ on, ...answer }])
  })

  // ca-finalized.test.ts covers a finalize response that breaks off.
  const breakOffs = on === 'finalize' ? [] : (['end', 'reset'] as const)
  test.each(breakOffs)('fails on a body that breaks off: %s', async (breakOff) => {
    const { message } = await fails([{ on, breakOff }], { isAnswered: false })
    expect(message).toMatch(/the request to .* failed: ECONNRESET/)
  })
})

describe('newNonce', () => {
  // Nonces are requested with HEAD, so their responses have no body that could be invalid.
  test.each(fewProblemTypes)('fails on a response of %s', async (type) => {
    const { message } = await fails([{ on: 'newNonce', type }])
    expect(message).toMatch(/status \d{3} from .*\/newNonce/)
  })

  test('fails on an error in HTML', async () => {
    await fails([{ on: 'newNonce', ...html, status: 502 }])
  })
})

describe.each(allEndpoints)('%s', (on) => {
  test.each([500, 502])('may fail twice with status %i', async (status) => {
    await survives({ on, status, times: 2 })
  })

  test('may fail twice with status 429 and a Retry-After of a second', async () => {
    await survives({ on, status: 429, retryAfter: 1, times: 2 })
  })

  test.each(retryAfters)('may send a Retry-After of %i s with its response', async (retryAfter) => {
    await survives({ on, retryAfter })
  })

  test.each(
    retryAfters.flatMap((seconds) => [
      [429, seconds],
      [503, seconds],
    ]),
  )('fails with the reason on status %i with a Retry-After of %i s', async (status, retryAfter) => {
    await explains({ on, status, retryAfter }, new RegExp(`status ${status}`))
  })

  test(
    namedResources.includes(on) ? 'may respond once with 404' : 'fails with the reason on a 404',
    async () => {
      if (namedResources.includes(on)) await survives({ on, status: 404, times: 1 })
      else await explains({ on, status: 404 }, /status 404/)
    },
  )
})

test.each(problemTypes)('a validation that fails with %s fails the attempt', async (type) => {
  const { problem } = await fails([{ on: 'challenge', invalid: true, type }])
  expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
})

test('no directory: status 404', async () => {
  await fails([{ on: 'directory', status: 404, contentType: 'text/plain', body: '' }])
})

test('no directory: the connection ends', async () => {
  await fails([{ on: 'directory', breakOff: 'end' }], { isAnswered: false })
})

test.each(foreignChains.slice(3))('does not store a certificate chain: %s', async (_, make, reason) => {
  const { message } = await fails([{ on: 'certificate', ...pem, body: (await make()).chain }])
  expect(message).toMatch(reason)
})

describe('an attempt fails after 5 minutes if', () => {
  test.each(ignoredAnswers)('the challenge responds with %s', async (_, answer) => {
    const active = fault({ on: 'challenge', ...answer })
    await endsAfter5Minutes(() => active.hits > 0)
  })

  test.each(['directory', 'newNonce', ...endpoints] as const)('%s hangs', async (on) => {
    const active = fault({ on, hang: true })
    // Once the CA has an order, an order that takes too long is the CA's fault.
    const isAnswered = ['challenge', 'order', 'finalize', 'certificate'].includes(on)
    await endsAfter5Minutes(() => active.hits > 0, { isAnswered })
  })
})

describe('a CA that answers otherwise', () => {
  test.each([301, 302, 303, 307, 308])('may redirect the directory with status %i', async (status) => {
    await survives({ on: 'directory', status, location: '/directory?moved', times: 1 })
  })

  test.each(['text/plain', 'Application/JSON', ''])(
    'may send JSON with the media type "%s"',
    async (contentType) => {
      for (const on of ['directory', ...endpoints] as const)
        if (on !== 'certificate') fault({ on, contentType })
      await survives({ on: 'certificate', contentType })
    },
  )

  test('may send relative URLs', async () => {
    for (const on of ['directory', 'newAccount', 'newOrder', 'authz', 'challenge', 'order'] as const)
      fault({ on, relativeUrls: true })
    await survives({ on: 'finalize', relativeUrls: true })
  })
})
