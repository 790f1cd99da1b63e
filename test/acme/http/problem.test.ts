import { expect, test } from 'vitest'
import { describeProblem, parseRetryAfter, toProblem } from '../../../src/acme/http/problem.js'

const now = Date.parse('2026-11-24T00:00:00Z')

test.each([
  ['0', now],
  ['120', now + 120_000],
  ['86400', now + 86_400_000],
  ['Tue, 24 Nov 2026 01:00:00 GMT', now + 3_600_000],
  ['Mon, 23 Nov 2026 23:00:00 GMT', now - 3_600_000],
  [undefined, undefined],
  ['', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['soon', undefined],
  ['2026', now + 2_026_000],
  ['99999999999999999999', undefined],
  ['Tue, 99 Nov 2026 01:00:00 GMT', undefined],
])('parses the Retry-After %j', (header, expected) => {
  expect(parseRetryAfter(header, now)).toBe(expected)
})

test.each([
  ['Tue, 24 Nov 2026 01:00:00 GMT', 'Tue, 24 Nov 2026 00:30:00 GMT', now + 1_800_000],
  ['Tue, 24 Nov 2026 01:00:00 GMT', 'soon', now + 3_600_000],
  ['120', 'Tue, 24 Nov 2026 00:30:00 GMT', now + 120_000],
])('parses the Retry-After %j of a response with the Date %j', (header, date, expected) => {
  expect(parseRetryAfter(header, now, date)).toBe(expected)
})

test('a problem document holds 200 characters of its type and 1,000 of its detail', () => {
  const problem = toProblem({ type: 't'.repeat(201), detail: 'd'.repeat(1_001) }, 400)
  expect(problem).toEqual({ type: 't'.repeat(200), detail: 'd'.repeat(1_000), status: 400 })
})

test('a problem document holds ten subproblems, with 200 characters of detail each', () => {
  const subproblem = { type: 'dns', detail: 'd'.repeat(201), identifier: { type: 'dns', value: 'a.example' } }
  const { subproblems } = toProblem({ type: 'compound', subproblems: Array(11).fill(subproblem) }) ?? {}
  expect(subproblems).toEqual(Array(10).fill({ type: 'dns', detail: 'd'.repeat(200) }))
})

test.each([undefined, null, 'text', [], [null, 'text', {}, { detail: 'no type' }]])(
  'the subproblems %j are ignored',
  (subproblems) => {
    expect(toProblem({ type: 'compound', subproblems })).toEqual({ type: 'compound' })
  },
)

test('a problem is described with its subproblems', () => {
  const subproblems = [{ type: 'dns', detail: 'NXDOMAIN' }, { type: 'caa' }]
  expect(describeProblem({ type: 'compound', detail: 'two problems', subproblems })).toBe(
    'compound: two problems (dns: NXDOMAIN; caa: no detail)',
  )
})
