import { afterEach, expect, test, vi } from 'vitest'
import { callSafely, ignoreFailure, warn, warnUnhandled } from '../../src/util/safe-call.js'

afterEach(() => void vi.restoreAllMocks())

/** Captures process warnings instead of emitting them. */
const captureWarnings = () => vi.spyOn(process, 'emitWarning').mockImplementation(() => {})

test('calls the function and emits no warning when it succeeds', async () => {
  const warnings = captureWarnings()
  const fn = vi.fn(async () => 'value')
  callSafely(fn)
  callSafely(() => 5)
  await new Promise(setImmediate)
  expect(fn).toHaveBeenCalledOnce()
  expect(warnings).not.toHaveBeenCalled()
})

test('warn emits one line of at most 4,000 characters, with the code of the error', () => {
  const warnings = captureWarnings()
  warn('two\r\nlines\u001b[31m\u2028', Object.assign(new Error(), { code: 'ERR_STORE_FAILED' }))
  warn('x'.repeat(3_000_000), Object.assign(new Error(), { code: 5 }))
  expect(warnings.mock.calls).toEqual([
    ['acme-cert-cache: two lines [31m ', { type: 'CertCacheWarning', code: 'ERR_STORE_FAILED' }],
    [`acme-cert-cache: ${'x'.repeat(4_000)}`, { type: 'CertCacheWarning' }],
  ])
})

test('turns a thrown error into a process warning with its stack', () => {
  const warnings = captureWarnings()
  const error = new Error('a listener failed')
  callSafely(() => {
    throw error
  })
  expect(warnings.mock.calls).toEqual([[`acme-cert-cache: ${error.stack}`, 'CertCacheWarning']])
})

test('turns a rejection into a process warning', async () => {
  const warnings = captureWarnings()
  callSafely(() => Promise.reject(new Error('rejected')))
  await expect.poll(() => warnings.mock.calls).toHaveLength(1)
  expect(warnings.mock.calls[0]).toEqual([expect.stringContaining('rejected'), 'CertCacheWarning'])
})

test.each([undefined, null, 'a string with a SECRET', 5, { toString: null }])(
  'warns with only the type of a thrown value that is not an Error: %#',
  (thrown) => {
    const warnings = captureWarnings()
    warnUnhandled(thrown)
    const [text] = warnings.mock.calls[0] as unknown as [string]
    expect(text).toContain(`of type ${typeof thrown}`)
    expect(text).not.toContain('SECRET')
  },
)

test.each([() => Promise.resolve('value'), () => Promise.reject(new Error('failed'))])(
  'ignoreFailure resolves with nothing once the promise has settled',
  async (start) => {
    expect(await ignoreFailure(start(), 'a test')).toBeUndefined()
  },
)
