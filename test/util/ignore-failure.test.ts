import { expect, test } from 'vitest'
import { ignoreFailure } from '../../src/util/ignore-failure.js'

test.each([() => Promise.resolve('value'), () => Promise.reject(new Error('failed'))])(
  'resolves with nothing once the promise has settled',
  async (start) => {
    expect(await ignoreFailure(start(), 'a test')).toBeUndefined()
  },
)
