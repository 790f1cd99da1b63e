import { expect, test } from 'vitest'
import { day, useManagers } from '../support/managers.js'

const t = useManagers()
const order = (profile: string) => t.machine({ acme: { ...t.acme, profile } })

test('the order requests a profile that the CA offers', async () => {
  t.ca.profiles = { classic: 'as ever', shortlived: 'six days' }
  const { manager } = await order('shortlived')
  await manager.getCertificate('a.example')
  expect(t.ca.orders).toMatchObject([{ profile: 'shortlived' }])
})

test('an unknown profile is rejected with the CA’s list; nothing is ordered or recorded against the host', async () => {
  t.ca.profiles = { classic: 'as ever', shortlived: 'six days' }
  const { manager, events } = await order('short-lived')
  await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
    code: 'ERR_ACME_PROFILE',
    message: 'acme.profile: the CA does not offer the profile "short-lived". Use one of classic, shortlived.',
  })
  expect(events.issuanceFailed).toMatchObject([{ host: 'a.example', error: { code: 'ERR_ACME_PROFILE' } }])
  expect(t.ca.counts.orders).toBe(0)
  expect([...t.store.values.keys()].sort()).toEqual(['acme_account+key', 'acme_probe'])
  t.ca.profiles = { 'short-lived': 'six days' }
  t.clock.set(day)
  await manager.getCertificate('a.example')
  expect(t.ca.orders).toMatchObject([{ profile: 'short-lived' }])
})

test('the error for a CA without profiles says to leave the option out', async () => {
  const { manager } = await order('tlsserver')
  await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
    code: 'ERR_ACME_PROFILE',
    message: 'acme.profile: the CA does not offer the profile "tlsserver". It has none: remove the option.',
  })
})
