import { expect, test } from 'vitest'
import { findSecrets } from './search.js'

test('a manager on Azure prints, logs and reveals no private key and no credential', {
  timeout: 300_000,
}, async () => {
  const { timesShown, forms } = await findSecrets(false)
  expect(timesShown).toBeGreaterThan(100)
  expect(forms).toBeGreaterThan(100)
})
