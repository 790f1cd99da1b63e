import { expect, test } from 'vitest'
import { Nonces } from '../../src/testing/ca/messages/nonces.js'

test('remembers the newest 10,000 nonces', () => {
  const nonces = new Nonces()
  const issued = Array.from({ length: 10_001 }, () => nonces.issue())
  expect(() => nonces.redeem(issued[0], 0)).toThrow(/^badNonce: /)
  for (const nonce of [issued[1], issued.at(-1)]) expect(() => nonces.redeem(nonce, 0)).not.toThrow()
})

test('a nonce that was refused on purpose cannot be used again', () => {
  const nonces = new Nonces()
  const nonce = nonces.issue()
  expect(() => nonces.redeem(nonce, 1)).toThrow(/on purpose/)
  expect(() => nonces.redeem(nonce, 0)).toThrow(/was used already/)
})
