import { expect, test } from 'vitest'
import { findSecrets } from './search.js'

test('a manager and every store print, log and reveal no private key and no credential', async () => {
  const { timesShown, forms } = await findSecrets()
  expect(timesShown).toBeGreaterThan(300)
  expect(forms).toBeGreaterThan(500)
})
