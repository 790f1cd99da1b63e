import { describe, expect, test } from 'vitest'
import {
  endpoints,
  fewProblemTypes,
  foreignChains,
  html,
  nonsense,
  pem,
  problemTypes,
  unusableAnswers,
  useSharedCa,
} from './ca-cases.js'

const { fault, fails, endsAfter5Minutes } = useSharedCa()

describe.each(endpoints)('%s', (on) => {
  test.each(on === 'newOrder' ? problemTypes : fewProblemTypes)('answered with %s', async (type) => {
    const { problem } = await fails([{ on, type }])
    expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
  })

  test.each(unusableAnswers(on))('answered with %s', async (_, answer) => {
    await fails([{ on, ...answer }])
  })

  // What finalize has done although it broke off: ca-finalized.
  const breakOffs = on === 'finalize' ? [] : (['end', 'reset'] as const)
  test.each(breakOffs)('broken off in its body: %s', async (breakOff) => {
    const { message } = await fails([{ on, breakOff }])
    expect(message).toMatch(/did not answer at .*: ECONNRESET/)
  })
})

describe('newNonce', () => {
  // Without bodies, as nonces are asked for with HEAD: then they say nothing that could be wrong.
  test.each(fewProblemTypes)('answered with %s', async (type) => {
    const { message } = await fails([{ on: 'newNonce', type }])
    expect(message).toMatch(/answered \d{3} at .*\/newNonce/)
  })

  test('answered with an error in HTML', async () => {
    await fails([{ on: 'newNonce', ...html, status: 502 }])
  })
})

test.each(problemTypes)('a validation that failed with %s', async (type) => {
  const { problem } = await fails([{ on: 'challenge', invalid: true, type }])
  expect(problem?.type).toBe(`urn:ietf:params:acme:error:${type}`)
})

test.each([{ status: 404, contentType: 'text/plain', body: '' }, { breakOff: 'end' as const }])(
  'no directory: %j',
  async (answer) => {
    await fails([{ on: 'directory', ...answer }])
  },
)

test.each(foreignChains.slice(3))('a certificate %s is not stored', async (_, make, reason) => {
  const { message } = await fails([{ on: 'certificate', ...pem, body: (await make()).chain }])
  expect(message).toMatch(reason)
})

describe('given up after 5 minutes:', () => {
  test.each(nonsense)('a challenge answered with %s', async (_, answer) => {
    const active = fault({ on: 'challenge', ...answer })
    await endsAfter5Minutes(() => active.hits > 0)
  })

  test.each(['directory', 'newNonce', ...endpoints] as const)('%s hangs', async (on) => {
    const active = fault({ on, hang: true })
    await endsAfter5Minutes(() => active.hits > 0)
  })
})
