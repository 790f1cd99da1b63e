import { expect, test } from 'vitest'
import { findSecrets } from './search.js'

test('a manager on Azure prints, logs and reveals no private key and no credential', async () => {
  const { timesShown, forms } = await findSecrets(false)
  expect(timesShown).toBeGreaterThan(150)
  expect(forms).toBeGreaterThan(250)
})
